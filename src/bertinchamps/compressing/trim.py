"""trim: a vocabulary without the entries that texts do not use; embedding and head lose their rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from bertinchamps.compressing import Done, Material, steps
from bertinchamps.compressing.rebuilding import inner_of, rebuilt, write_model
from bertinchamps.compressing.vocabulary import trimmed
from bertinchamps.data.tokenizer_json import Content
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.model.resizing import dimensions_of
from bertinchamps.tasks.tagging.sentences import sentences
from bertinchamps.textfiles.texts import entry_problems, texts_of

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
SLOW = ("vocab.txt", "vocab.json", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json")
COMPARED = 2_000  # texts whose pieces are compared before and after
AT_ONCE = 256  # texts in a call of the tokenizer


def _problems(settings: Any) -> list[str]:
    found = entry_problems("steps.files", settings.get("files", []))
    if (least := settings.get("min_count", 1)) < 1:
        found.append(f"steps.min_count={least}: must be at least 1; 1 keeps all pieces of the texts")
    return found


@steps.register("trim", check=_problems)
class Trim:
    """Keeps the entries of the vocabulary that texts use, and what is needed so that any text can still be read.

    Args:
        files: texts, as PATH or PATH::PART; with the run's examples (`Material.judging`) and `texts=` they say what is
            used.
        min_count: occurrences that an entry needs to stay.
    """

    def __init__(self, files: Sequence[str] = (), min_count: int = 1) -> None:
        self.files, self.min_count = tuple(files), min_count

    def problems(self, material: Material) -> list[str]:
        found = []
        if not self.files and not material.config.texts:
            found.append(
                "steps: trim keeps what texts use; give texts=[FILES] like those that the model will read (the "
                "run's examples count as well, but alone they are too few: docs/compress.md)"
            )
        backend = material.source.folder / FILE
        if not backend.is_file():
            found.append(
                f"model={material.config.model}: no {FILE}, which holds the vocabulary, in {backend.parent}"
            )
        return found

    def apply(self, folder: Path, material: Material, place: Path) -> Done:
        source = material.at(folder)
        before = source.tokenizer()
        texts = list(self._texts(material))
        if not texts:
            raise UserError("steps: trim has no text in its files; give files of texts")
        counts = pieces_of(before, texts)
        used = {piece for piece, count in counts.items() if count >= self.min_count}
        content: Content = json.loads(before.backend_tokenizer.to_str())
        changed, old = trimmed(content, used)
        whole = source.model()
        model = with_rows(whole, old)
        write_model(model, source, before, place)
        _write_tokenizer(changed, old, place)
        _refuse_others(before, open_tokenizer(str(place)), texts, set(counts) - used, place)
        saved = _size(whole) - _size(model)
        total = len(before)
        facts = {
            "of": total,
            "kept": len(old),
            "parameters_saved": saved,
            "texts": len(texts),
            "used": len(used),
        }
        return Done(
            facts,
            [
                f"trimmed    {len(old):,} of {total:,} entries of the vocabulary left, {saved:,} parameters fewer; "
                f"{len(texts):,} texts use {len(counts):,} entries"
            ],
        )

    def _texts(self, material: Material) -> Iterator[str]:
        for entry in self.files:
            yield from texts_of(entry, whole=True)
        yield from material.unlabelled
        if material.source.facts is not None and not material.text_problems():
            yield from material.texts()


def pieces_of(tokenizer: Any, texts: Sequence[str]) -> Counter[str]:
    """How often texts have each piece: as a whole, however long, or cut into sentences, as taggers read them.

    The higher of both numbers counts.
    """
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # the name of a special token in a text is text
    whole: Counter[int] = Counter()
    alone: Counter[int] = Counter()
    for start in range(0, len(texts), AT_ONCE):
        part = texts[start : start + AT_ONCE]
        cut = [text[first:last] for text in part for first, last in sentences(text)]
        for counts, given in ((whole, part), (alone, cut)):
            for encoding in backend.encode_batch(given, add_special_tokens=False):
                counts.update(encoding.ids)  # which takes less time than their texts
    return Counter({str(backend.id_to_token(at)): count for at, count in (whole | alone).items()})


def _size(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def with_rows(model: nn.Module, old: Sequence[int]) -> nn.Module:
    """The model with some rows of its token embedding, and of the head that predicts tokens.

    Args:
        model: a masked language model, or a model with a head; it is left as it was.
        old: ids whose rows stay, in their new order.

    Raises:
        UserError: the class has its vocabulary in another way.
    """
    inner = inner_of(model)
    places = torch.tensor(old)
    try:
        entries = dimensions_of(inner, "vocab_size")
    except ValueError as error:
        raise UserError(
            f"steps: trim: a {type(inner).__name__} has its vocabulary in another way than a row for each entry; leave "
            "it out"
        ) from error
    state = {
        name: weights.index_select(entries[name], places.to(weights.device)) if name in entries else weights
        for name, weights in inner.state_dict().items()
    }
    new = {before: after for after, before in enumerate(old)}
    changes: dict[str, Any] = {"vocab_size": len(old)}
    for name, value in inner.config.to_dict().items():
        if name.endswith("_token_id") and value is not None:
            # of a token that is an id beyond the tokenizer's entries, there is none left
            changes[name] = [new[each] for each in value] if isinstance(value, list) else new.get(value)
    return rebuilt(model, changes, state)


def _write_tokenizer(content: Content, old: Sequence[int], place: Path) -> None:
    """Write tokenizer.json; files of other forms of the same vocabulary go."""
    for pattern in SLOW:
        for file in place.glob(pattern):
            file.unlink()
    (place / FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    file = place / SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8"))
    if decoder := settings.get("added_tokens_decoder"):
        new = {str(before): str(after) for after, before in enumerate(old)}
        settings["added_tokens_decoder"] = {new[at]: token for at, token in decoder.items() if at in new}
        file.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")


def _refuse_others(before: Any, after: Any, texts: Sequence[str], rare: set[str], place: Path) -> None:
    """Refuse a tokenizer that cuts the texts in another way, those with rare pieces apart.

    Raises:
        UserError: it does.
    """
    for text in texts[:COMPARED]:
        pieces = before.backend_tokenizer.encode(text, add_special_tokens=False).tokens
        now = after.backend_tokenizer.encode(text, add_special_tokens=False).tokens
        if not rare.intersection(pieces) and pieces != now:
            raise UserError(
                f"steps: trim: the {type(after).__name__} of this model cuts texts in another way once {FILE} is "
                f"changed, so the model is not written (looked at {place.name})"
            )
