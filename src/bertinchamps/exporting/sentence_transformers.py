"""`format=sentence-transformers`: the encoder with a mean over its tokens, a vector for each text.

DIR/config.json model.safetensors tokenizer.json …    the encoder, as `format=hf` writes it
DIR/modules.json 1_Pooling/config.json …              what the library sentence-transformers reads beside it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch

from bertinchamps.exporting import exporters
from bertinchamps.exporting.forms import Form, encoder_form, not_stock
from bertinchamps.exporting.hf import copy_tokenizer
from bertinchamps.exporting.parity import compared, random_inputs
from bertinchamps.exporting.source import Source
from bertinchamps.exporting.use import Use
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import longest_input, open_config

POOLING = "1_Pooling"
# Names that all versions of the library know.
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": POOLING, "type": "sentence_transformers.models.Pooling"},
]
MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
CODE = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("MODEL"{options})
vectors = model.encode(["Le patient tousse.", "Une toux persistante."])
print(model.similarity(vectors, vectors))"""
NOTE = "the vectors are those of the encoder as it was trained; train them on pairs of texts for search or similarity"
DEFAULT_LONGEST = 512


@exporters.register("sentence-transformers")
class SentenceTransformers:
    """A directory of the library sentence-transformers.

    Args:
        remote_code: where no stock class can hold the encoder, write our code beside its weights.
        max_length: tokens of a text, special tokens included; null: as the model was made for.
    """

    def __init__(self, remote_code: bool = False, max_length: int | None = None) -> None:
        self._remote_code, self._max_length = remote_code, max_length
        self._use: Use | None = None

    def problems(self, source: Source) -> list[str]:
        """A length that is none, and what config.json alone shows."""
        found = []
        if self._max_length is not None and self._max_length < 1:
            found = [f"format.max_length={self._max_length}: must be at least 1, or null"]
        if self._remote_code or not (source.folder / "config.json").is_file():
            return found
        config = open_config(str(source.folder))
        return [*found, *not_stock(config)] if isinstance(config, BertinchampsConfig) else found

    def export(self, source: Source, place: Path) -> list[str]:
        model, tokenizer = source.model(), source.tokenizer()
        form = encoder_form(model, self._remote_code)
        inputs = random_inputs(tokenizer, form.original)
        expected = _means(form.original, inputs)
        form.write(place)
        longest = self._longest(form, source)
        copy_tokenizer(source.folder, place, longest)
        _write_modules(place, form.model.config.hidden_size, longest)
        line = compared(expected, self._vectors(form, place, inputs), "vectors")
        options = ", trust_remote_code=True" if form.classes else ""
        tags = ("custom_code",) if form.classes else ()
        self._use = Use(
            "sentence-transformers", "sentence-similarity", CODE.format(options=options), (NOTE,), tags
        )
        return [
            line,
            f"opens      sentence_transformers.SentenceTransformer(DIR{options}), texts of up to {longest} tokens",
            f"note       {NOTE}",
        ]

    def use(self) -> Use:
        """Of the model that was exported last."""
        return cast(Use, self._use)

    def _longest(self, form: Form, source: Source) -> int:
        """Tokens of a text: as asked, as fine-tuned, or as the encoder's configuration says."""
        config = form.original.config
        limit = min(
            longest_input(config), getattr(config, "max_position_embeddings", None) or DEFAULT_LONGEST
        )
        made_for = limit if source.facts is None else source.facts.max_length
        return min(self._max_length or made_for, limit)

    def _vectors(self, form: Form, place: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the library computes, if it is installed and need not trust code; otherwise the mean, as it has it."""
        if form.classes or find_spec("sentence_transformers") is None:
            return _means(form.read(place), inputs)
        from sentence_transformers import SentenceTransformer

        opened = SentenceTransformer(str(place), device="cpu").eval()
        with torch.no_grad():
            return cast(torch.Tensor, opened(dict(inputs))["sentence_embedding"])


def _means(encoder: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The means [B, H] of the hidden states at real tokens."""
    with torch.no_grad():
        hidden = encoder(**inputs).last_hidden_state
    real = inputs["attention_mask"][..., None].to(hidden.dtype)
    return cast(torch.Tensor, (hidden * real).sum(1) / real.sum(1))


def _write_modules(place: Path, size: int, longest: int) -> None:
    """Write the files of the library.

    Args:
        place: where the encoder is.
        size: of a vector.
        longest: tokens of a text.
    """
    pooling = {
        "word_embedding_dimension": size,
        **{f"pooling_mode_{mode}": mode == "mean_tokens" for mode in MODES},
        "include_prompt": True,
    }
    (place / POOLING).mkdir()
    for name, content in {
        "modules.json": MODULES,
        "sentence_bert_config.json": {"max_seq_length": longest, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
        f"{POOLING}/config.json": pooling,
    }.items():
        (place / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
