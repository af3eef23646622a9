"""From documents to blocks: built once, whole or not at all, split by document, private, in little memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers

import warm
from bertinchamps.contract import Document
from bertinchamps.data import planning, tokenising
from bertinchamps.data.blocks import Blocks
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.cleaning import cleaner, cleaning_problems, duplicates
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.counts import dropped
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.held_out import is_held_out
from bertinchamps.data.preparation import prepare
from bertinchamps.data.progress import Progress
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.durable import SEAL, write_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import BlocksConfig, PrepareConfig, TokenizerConfig

SECRET = "Confidentielle"
WORDS = ["le", "la", "patient", "dame", "douleur", "fracture", "fémur", "matin", "soir", "reçoit", "sort"]


def sentences(count: int, seed: int = 0) -> list[str]:
    """Different documents of 12 words and a number, each with the secret word."""
    random = np.random.default_rng(seed)
    return [f"{' '.join(random.choice(WORDS, 12))} {SECRET} {seed} {number}." for number in range(count)]


TEXTS = sentences(200)


def write(path: Path, texts: Iterable[str]) -> Path:
    rows = (json.dumps({"text": text, "autre": text + " bis"}, ensure_ascii=False) for text in texts)
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "notes.jsonl", TEXTS)


def settings(
    file: Path, data: dict[str, Any] | None = None, cleaning: list[Any] | None = None, **changes: Any
) -> PrepareConfig:
    """A config for one file. Changes go to the tokenizer or the blocks, wherever the key is known."""
    tokenizer = {"vocab_size": 100, "normalizer": "french"}
    blocks = {"sequence_length": 16, "held_out_share": 0.1}
    for key, value in changes.items():
        (blocks if key in BlocksConfig.__dataclass_fields__ else tokenizer)[key] = value
    return PrepareConfig(
        data={"name": "files", "files": [str(file)], **(data or {})},
        cleaning=cleaning or [],
        tokenizer=TokenizerConfig(**tokenizer),
        blocks=BlocksConfig(**blocks),
    )


def built(config: PrepareConfig) -> Corpus:
    return prepare(config, lambda _: None)


def failure(action: Callable[[], object]) -> str:
    """The message of the UserError that an action ends with. It never quotes a document."""
    with pytest.raises(UserError) as caught:
        action()
    assert SECRET not in str(caught.value)
    return str(caught.value)


def documents_of(corpus: Corpus, split: str) -> list[list[int]]:
    """Ids of each document in a split's file, without the separators."""
    ids = np.fromfile(corpus.folder / f"{split}.bin", dtype=np.uint16).tolist()
    assert ids[-1] == 3
    documents: list[list[int]] = [[]]
    for token in ids:
        if token == 3:
            documents.append([])
        else:
            documents[-1].append(token)
    return documents[:-1]


def decoded(corpus: Corpus, split: str) -> list[str]:
    """What the documents of a split say, blanks left out."""
    tokenizer = open_tokenizer(corpus.tokenizer_folder)
    return ["".join(tokenizer.decode(ids).split()) for ids in documents_of(corpus, split)]


def blankless(texts: Iterable[str]) -> list[str]:
    return ["".join(text.split()) for text in texts]


def forbidden(*_: object) -> NoReturn:
    raise AssertionError("this was to be found built")


# --------------------------------------------------------------------------------------- the blocks


def test_blocks_hold_the_documents_in_order_each_closed_by_the_separator(file: Path) -> None:
    corpus = built(settings(file))
    train = [text for text in TEXTS if not is_held_out(Document(text, ""), 0.1)]
    held_out = [text for text in TEXTS if is_held_out(Document(text, ""), 0.1)]
    assert decoded(corpus, "train") == blankless(train)
    assert decoded(corpus, "held_out") == blankless(held_out)


def test_blocks_are_full_to_the_last_token_without_padding(file: Path) -> None:
    corpus = built(settings(file))
    flat = np.fromfile(corpus.folder / "train.bin", dtype=np.uint16)
    blocks = corpus.train.read(np.arange(len(corpus.train)))
    assert blocks.shape == (len(flat) // 16, 16)
    assert np.array_equal(blocks.flatten(), flat[: blocks.size])
    assert not np.isin(flat, [0, 1, 2, 4]).any()  # neither [PAD], [UNK], [CLS] nor [MASK]


def test_order_and_content_do_not_depend_on_how_many_are_tokenised_together(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_once = built(settings(file))
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 3)
    in_threes = built(settings(file, cache_dir=str(tmp_path / "other")))
    assert (in_threes.folder / "train.bin").read_bytes() == (at_once.folder / "train.bin").read_bytes()


@pytest.mark.parametrize("splits_at_signs", [True, False])
def test_names_of_special_tokens_in_documents_are_text(tmp_path: Path, splits_at_signs: bool) -> None:
    texts = [f"{text} [MASK] mot [SEP] mot [PAD] [UNK] [CLS] [SEP]" for text in TEXTS]
    config = settings(write(tmp_path / "a.jsonl", texts), vocab_size=300)
    corpus = built(config)
    if not splits_at_signs:  # so that "[SEP]" is a word, which the vocabulary has
        own = tmp_path / "own"
        shutil.copytree(corpus.tokenizer_folder, own)
        tokenizer = Tokenizer.from_file(str(own / "tokenizer.json"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.save(str(own / "tokenizer.json"))
        config.tokenizer.path = str(own)
        corpus = built(config)
    flat = np.fromfile(corpus.folder / "train.bin", dtype=np.uint16)
    assert (flat == 3).sum() == corpus.manifest["train"]["documents"]
    assert not np.isin(flat, [0, 2, 4]).any()
    if splits_at_signs:
        assert not (flat == 1).any()
        assert "[MASK]mot[SEP]mot[PAD][UNK][CLS][SEP]" in decoded(corpus, "train")[0]


def test_the_manifest_counts_what_is_there(file: Path) -> None:
    manifest = built(settings(file)).manifest
    assert manifest["train"]["documents"] + manifest["held_out"]["documents"] == 200
    assert manifest["characters"] == sum(map(len, TEXTS))
    assert manifest["dropped"] == {}
    assert manifest["held_out_characters"] == sum(len(text) for text in TEXTS if is_out(text))


def is_out(text: str) -> bool:
    return is_held_out(Document(text, ""), 0.1)


def test_tokens_of_a_character_are_those_of_held_out_text_and_unknown_where_nobody_counted(
    file: Path, tmp_path: Path
) -> None:
    corpus = built(settings(file))
    texts = [text for text in TEXTS if is_out(text)]
    tokens = sum(len(ids) for ids in documents_of(corpus, "held_out"))
    assert corpus.tokens_per_character == tokens / sum(map(len, texts))
    del corpus.manifest["held_out_characters"]  # as an earlier version left it
    assert corpus.tokens_per_character is None
    own = write(tmp_path / "own.jsonl", sentences(5, seed=1))
    ours = built(settings(file, {"held_out_files": [str(own)]}))
    assert ours.manifest["held_out_characters"] == sum(map(len, sentences(5, seed=1)))


def test_two_caches_of_the_same_documents_are_the_same_bytes(file: Path, tmp_path: Path) -> None:
    one, two = (built(settings(file, cache_dir=str(tmp_path / name))) for name in ("a", "b"))
    assert one.fingerprint == two.fingerprint
    for name in ("train.bin", "held_out.bin"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


# ---------------------------------------------------------------------------------------- the split


def test_the_split_is_by_document_and_copies_stay_together(tmp_path: Path) -> None:
    texts = sentences(150)
    corpus = built(settings(write(tmp_path / "a.jsonl", texts + texts[::-1] + texts)))
    train, held_out = Counter(decoded(corpus, "train")), Counter(decoded(corpus, "held_out"))
    assert not set(train) & set(held_out)
    assert set((train + held_out).values()) == {3}
    assert set(train + held_out) == set(blankless(texts))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_about_the_share_asked_for_is_held_out(share: float) -> None:
    out = np.mean([is_held_out(Document(str(number), ""), share) for number in range(20_000)])
    assert out == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)


def test_a_document_held_out_at_a_share_is_held_out_at_any_larger_one() -> None:
    documents = [Document(str(number), "") for number in range(2000)]
    small, large = ({d for d in documents if is_held_out(d, share)} for share in (0.05, 0.2))
    assert small < large


def test_the_users_own_held_out_files_are_the_split(tmp_path: Path, file: Path) -> None:
    own = sentences(30, seed=1)
    data = {"held_out_files": [str(write(tmp_path / "own.jsonl", own))]}
    corpus = built(settings(file, data, cleaning=[{"name": "length", "most": 10_000}]))
    assert decoded(corpus, "held_out") == blankless(own)
    assert decoded(corpus, "train") == blankless(TEXTS)


def test_copies_of_held_out_documents_are_dropped_from_training(tmp_path: Path, file: Path) -> None:
    own = sentences(30, seed=1)
    mixed = write(tmp_path / "mixed.jsonl", [*sentences(60), *own[:5]])
    data = {"files": [str(mixed)], "held_out_files": [str(write(tmp_path / "own.jsonl", own))]}
    corpus = built(settings(file, data=data))
    assert corpus.manifest["dropped"] == {"copy of a held-out document": 5}
    assert not set(decoded(corpus, "train")) & set(decoded(corpus, "held_out"))


def garbled(texts: Iterable[str]) -> list[str]:
    """The texts as a wrong encoding left them."""
    return [f"É {text}".encode().decode("windows-1252") for text in texts]


def mended(texts: Iterable[str]) -> list[str]:
    return [f"É {text}" for text in texts]


def with_copies(tmp_path: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """Data with copies of held-out documents: garbled on both sides, and mended by the cleaning; what to train on."""
    own = [*garbled(sentences(10, seed=1)), *mended(sentences(10, seed=2))]
    train = [*sentences(60), *garbled(sentences(10, seed=1)), *garbled(sentences(10, seed=2))]
    files = [write(tmp_path / "mixed.jsonl", train), write(tmp_path / "own.jsonl", own)]
    return {"files": [str(files[0])], "held_out_files": [str(files[1])]}, sentences(60), own


@pytest.mark.parametrize("mixed", [False, True])
def test_copies_of_held_out_documents_are_found_before_cleaning_and_behind_it(
    tmp_path: Path, file: Path, mixed: bool
) -> None:
    data, train, own = with_copies(tmp_path)
    config = settings(file, data, cleaning=[] if mixed else [{"name": "unicode"}])
    if mixed:
        part = {"weight": 1, "name": "files", **data, "cleaning": [{"name": "unicode"}]}
        config.data = {"name": "mix", "sources": [part]}
    corpus = built(config)
    assert corpus.manifest["dropped"] == {"copy of a held-out document": 20}
    assert decoded(corpus, "train") == blankless(train)
    assert len(documents_of(corpus, "held_out")) == len(own)


def test_a_document_is_held_out_by_what_its_source_gives_whatever_cleaning_makes_of_it(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "garbled.jsonl", garbled(sentences(200)))
    cleaned = built(settings(file, cleaning=[{"name": "unicode"}]))
    held_out = [text for text in garbled(sentences(200)) if is_held_out(Document(text, ""), 0.1)]
    assert len(held_out) > 5
    expected = [text.encode("windows-1252").decode() for text in held_out]
    assert decoded(cleaned, "held_out") == blankless(expected)


def test_the_users_own_held_out_files_are_not_cleaned(tmp_path: Path, file: Path) -> None:
    own = [*sentences(30, seed=1), "court", "court"]
    data = {"held_out_files": [str(write(tmp_path / "own.jsonl", own))]}
    steps = [{"name": "length", "least": 20}, {"name": "exact_duplicates"}]
    assert decoded(built(settings(file, data, steps)), "held_out") == blankless(own)


def tokenizers_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Will hold the texts that tokenizers are trained on."""
    read: list[str] = []
    train = planning.train_tokenizer

    def spy(config: TokenizerConfig, texts: Iterator[str], folder: Path, tell: Callable[[str], None]) -> None:
        read.extend(texts)
        train(config, iter(read), folder, tell)

    monkeypatch.setattr(planning, "train_tokenizer", spy)
    return read


def test_the_tokenizers_sample_and_the_pass_hold_out_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tokenizers_texts(monkeypatch)
    steps = [{"name": "repeated_lines", "most": 60, "least": 5}]
    texts = [f"{text} Gardez cette notice." for text in sentences(240)]
    files = [write(tmp_path / "a.jsonl", texts[:120]), write(tmp_path / "b.jsonl", texts[120:])]
    data = {"files": [str(file) for file in files]}
    # a sample of the second file does not see what the first one repeats, so that its texts are cleaned otherwise
    sample = sources.build("files", files=[str(files[1])]).sample
    monkeypatch.setattr("bertinchamps.data.sources.files.FilesSource.sample", lambda _, n: sample(n))
    corpus = built(settings(files[0], data, steps, held_out_share=0.3))
    numbers = {text.split(".")[0] for text in decoded(corpus, "held_out")}
    assert len(numbers) > 20
    assert not numbers & {text.split(".")[0] for text in blankless(read)}


@pytest.mark.parametrize("own", [False, True])
def test_the_tokenizer_is_trained_on_no_held_out_document(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    read = tokenizers_texts(monkeypatch)
    data = {"held_out_files": [str(write(tmp_path / "own.jsonl", sentences(30, seed=1)))]} if own else {}
    corpus = built(settings(file, data))
    assert blankless(read) == decoded(corpus, "train")


# ----------------------------------------------------------------------------- built once, and when


def test_what_is_built_is_found_and_nothing_is_tokenised_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(settings(file))
    times = {path: path.stat().st_mtime_ns for path in first.folder.parents[1].rglob("*.*")}
    monkeypatch.setattr(tokenising, "encode", forbidden)
    monkeypatch.setattr(planning, "train_tokenizer", forbidden)
    again = built(settings(file))
    assert (again.folder, again.tokenizer_folder) == (first.folder, first.tokenizer_folder)
    assert times == {path: path.stat().st_mtime_ns for path in first.folder.parents[1].rglob("*.*")}
    assert again.manifest == first.manifest


def test_a_copy_of_the_files_elsewhere_is_the_same_corpus(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert built(settings(write(tmp_path / "elsewhere" / "notes.jsonl", TEXTS))).folder == (
        built(settings(file)).folder
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"text_field": "autre"}},
        {"cleaning": [{"name": "exact_duplicates"}]},
        {"normalizer": "paper"},
        {"vocab_size": 101},
        {"min_frequency": 190},
        {"sample_characters": 5000},
        {"held_out_share": 0.2},
    ],
    ids=str,
)
def test_whatever_shapes_the_blocks_names_other_blocks(file: Path, changes: dict[str, Any]) -> None:
    assert built(settings(file, **changes)).fingerprint != built(settings(file)).fingerprint


def test_other_content_under_the_same_name_size_and_time_names_other_blocks(file: Path) -> None:
    before, first = file.stat(), built(settings(file))
    write(file, [text.replace("fémur", "tibia") for text in TEXTS])
    file.write_bytes(file.read_bytes() + b"\n" * (before.st_size - file.stat().st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    second = built(settings(file))
    assert second.fingerprint != first.fingerprint
    assert any("tibia" in text for text in decoded(second, "train"))


def test_another_tokenizer_under_the_same_path_names_other_blocks(file: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    fingerprints = set()
    for size in (100, 101):
        folder = built(settings(file, vocab_size=size)).tokenizer_folder
        (own / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        corpus = built(settings(file, path=str(own)))
        assert corpus.tokenizer_folder == own
        fingerprints.add(corpus.fingerprint)
    assert len(fingerprints) == 2


def test_another_sequence_length_reads_the_same_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = built(settings(file))
    monkeypatch.setattr(tokenising, "encode", forbidden)
    long = built(settings(file, sequence_length=32))
    assert long.folder == short.folder
    assert long.train.read(np.array([0])).tolist()[0] == short.train.read(np.array([0, 1])).flatten().tolist()


# ------------------------------------------------------------------------- whole, or not there at all


def names(folder: Path) -> list[str]:
    """What is in a folder, empty locks of killed processes apart."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if path.suffix != ".lock")


EVERYTHING = [
    {"name": "exact_duplicates"},
    {"name": "unicode"},
    {"name": "near_duplicates"},
    {"name": "length", "least": 30},
    {"name": "repeated_lines", "most": 3, "least": 5},
]


FILES = ["held_out.bin", "held_out.sums", "manifest.json", "train.bin", "train.sums"]


def counted(corpus: Corpus) -> dict[str, Any]:
    return {key: value for key, value in corpus.manifest.items() if key not in ("seconds", "digest")}


def bytes_of(corpus: Corpus) -> list[bytes]:
    return [(corpus.folder / f"{split}.bin").read_bytes() for split in ("train", "held_out")]


@pytest.fixture
def messy(tmp_path: Path) -> list[Path]:
    """Two files with copies within and across them, near copies, and a line that comes in every document."""
    texts = [f"{text} Gardez cette notice." for text in sentences(240)]
    near = [f"{' '.join(texts[number : number + 12])} fin" for number in range(0, 200, 10)]
    nearly = [f"{text} bis" for text in near]
    half = [*texts[:120], *near, *texts[:20]]
    return [
        write(tmp_path / "a.jsonl", half),
        write(tmp_path / "b.jsonl", [*texts[100:], *nearly, "court"]),
    ]


@pytest.fixture
def interrupted(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[PrepareConfig], Path]:
    """Interrupts a preparation behind its third group of documents; returns its progress.json."""
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 13)
    monkeypatch.setattr(tokenising, "SECONDS_BETWEEN_COMMITS", 0)
    monkeypatch.setattr(tokenising, "SHARE_OF_TIME_FOR_COMMITS", 1e9)
    write_progress, groups = Progress.write, [0]

    def interrupting(self: Progress, *arguments: Any) -> None:
        write_progress(self, *arguments)
        groups[0] += 1
        if groups[0] == 3:
            raise KeyboardInterrupt

    def prepared(config: PrepareConfig) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(Progress, "write", interrupting)
            with pytest.raises(KeyboardInterrupt):
                built(config)
        [progress] = cache.rglob("progress.json")
        return progress

    return prepared


def test_a_pass_that_an_earlier_version_began_counts_no_characters_of_held_out_text(
    file: Path, interrupted: Callable[[PrepareConfig], Path]
) -> None:
    progress = interrupted(settings(file))
    facts = json.loads(progress.read_text())
    assert facts.pop("held_out_characters") >= 0
    write_sealed(progress, {key: value for key, value in facts.items() if key != SEAL})
    corpus = built(settings(file))
    assert corpus.manifest["characters"] == sum(map(len, TEXTS))
    assert corpus.manifest["held_out_characters"] is None
    assert corpus.tokens_per_character is None


def test_a_pass_with_a_wide_vocabulary_goes_on_where_it_was(
    file: Path, tmp_path: Path, interrupted: Callable[[PrepareConfig], Path]
) -> None:
    folder = tmp_path / "wide"
    shutil.copytree(built(settings(file)).tokenizer_folder, folder)
    state = json.loads((folder / "tokenizer.json").read_text())
    state["model"]["vocab"] |= {f"mot{number}": number for number in range(100_000, 100_005)}
    (folder / "tokenizer.json").write_text(json.dumps(state))
    config = settings(file, path=str(folder))
    interrupted(config)
    said: list[str] = []
    corpus = prepare(config, said.append)
    assert corpus.manifest["dtype"] == "uint32"
    assert any("going on with a preparation that was interrupted (39 documents" in line for line in said)
    assert corpus.manifest["characters"] == sum(map(len, TEXTS))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full"), UserError("unreadable")])
def test_an_interrupted_build_goes_on_where_it_was(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, own: bool
) -> None:
    data: dict[str, Any] = {"files": [str(path) for path in messy]}
    if own:
        data["held_out_files"] = [str(write(tmp_path / "own.jsonl", [*sentences(30, 5), *sentences(9)]))]
    at_once = built(settings(messy[0], data, EVERYTHING))
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "second"))
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 13)
    monkeypatch.setattr(duplicates, "TABLE", 1 << 16)
    monkeypatch.setattr(tokenising, "SECONDS_BETWEEN_COMMITS", 0)
    monkeypatch.setattr(tokenising, "SHARE_OF_TIME_FOR_COMMITS", 1e9)
    encode, tokenised = tokenising.encode, list[str]()

    def counting(tokenizer: Any, texts: list[str]) -> list[list[int]]:
        tokenised.extend(texts)
        if len(tokenised) % 4 == 0:
            raise error
        return encode(tokenizer, texts)

    monkeypatch.setattr(tokenising, "encode", counting)
    said: list[str] = []
    interruptions, corpus = 0, None
    while corpus is None:
        try:
            corpus = prepare(settings(messy[0], data, EVERYTHING), said.append)
        except (KeyboardInterrupt, OSError, UserError):
            interruptions += 1
    assert interruptions > 2
    assert any("going on with a preparation that was interrupted" in line for line in said)
    done_again = 13 + 39 * own  # the group at work, and the user's own held-out documents, which come last
    assert len(tokenised) - len(set(tokenised)) <= done_again * interruptions
    assert bytes_of(corpus) == bytes_of(at_once)
    assert counted(corpus) == counted(at_once)
    assert names(corpus.folder) == FILES
    assert [path.name for path in (tmp_path / "second" / "corpora").iterdir()] == [corpus.fingerprint]
    assert corpus.manifest["dropped"].keys() >= {"exact duplicate", "near duplicate", "too short"}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_corpus import EVERYTHING, built, cleaner, duplicates, settings, tokenising
cleaner.DOCUMENTS_AT_ONCE, duplicates.TABLE = 13, 1 << 16
tokenising.SECONDS_BETWEEN_COMMITS, tokenising.SHARE_OF_TIME_FOR_COMMITS = 0, 1e9
commit, commits = tokenising.Pass._commit, [0]
def kill(self):
    if commits[0] == 2 and sys.argv[4] == "within":  # the cleaning is written down, the progress not yet
        self._cleaner.save = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
    commit(self)
    commits[0] += 1
    if commits[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
tokenising.Pass._commit = kill
built(settings(Path(sys.argv[2]), cleaning=EVERYTHING, held_out_share=float(sys.argv[3])))
"""


def killed(file: Path, share: float, when: str) -> None:
    here = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = warm.python(KILLED, str(Path(__file__).parent), str(file), str(share), when, environment=here)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["within", "after"])
def test_a_killed_build_goes_on_where_it_was(
    messy: list[Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(duplicates, "TABLE", 1 << 16)
    killed(messy[0], 0.1, when)
    (leftover,) = names(cache / "corpora")
    (cache / "corpora" / leftover / "train.bin").open("ab").write(b"half a group")
    said: list[str] = []
    corpus = prepare(settings(messy[0], cleaning=EVERYTHING), said.append)
    assert any("going on" in line for line in said)
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "second"))
    assert bytes_of(corpus) == bytes_of(built(settings(messy[0], cleaning=EVERYTHING)))


@pytest.fixture
def half_done(messy: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a preparation whose third commit met a full disk."""
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 13)
    monkeypatch.setattr(duplicates, "TABLE", 1 << 16)
    monkeypatch.setattr(tokenising, "SECONDS_BETWEEN_COMMITS", 0)
    monkeypatch.setattr(tokenising, "SHARE_OF_TIME_FOR_COMMITS", 1e9)
    save, saves = cleaner.Cleaner.save, list[Path]()

    def full(self: cleaner.Cleaner, folder: Path) -> None:
        saves.append(folder)
        save(self, folder)
        if len(saves) >= 3:
            os.truncate(folder / "0" / "digests.npy", 10)
            raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(cleaner.Cleaner, "save", full)
        with pytest.raises(OSError, match="disk full"):
            built(settings(messy[0], cleaning=EVERYTHING))
    return saves[0].parent


def test_a_disk_that_is_full_while_progress_is_written_down_costs_nothing(
    half_done: Path, messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    corpus = prepare(settings(messy[0], cleaning=EVERYTHING), said.append)
    assert any("going on" in line for line in said)
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "second"))
    assert bytes_of(corpus) == bytes_of(built(settings(messy[0], cleaning=EVERYTHING)))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path, place: int | None = None) -> None:
    """Change a byte, by default the one in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 0x10
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("name", ["progress.json", "train.bin", "held_out.bin", "digests.npy", "train.sums"])
def test_an_interrupted_build_that_the_disk_did_not_keep_begins_anew_and_says_so(
    half_done: Path,
    messy: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    harm: Callable[[Path], object],
) -> None:
    files = list(half_done.rglob(name))
    assert files
    for file in files:
        harm(file)
    said: list[str] = []
    corpus = prepare(settings(messy[0], cleaning=EVERYTHING), said.append)
    assert name == "progress.json" or any(
        line.endswith(f"{name} is damaged, so a preparation that was interrupted begins anew")
        for line in said
    )
    assert not any("going on" in line for line in said)
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "second"))
    another = built(settings(messy[0], cleaning=EVERYTHING))
    assert bytes_of(corpus) == bytes_of(another)
    assert counted(corpus) == counted(another)
    assert names(corpus.folder) == FILES


def test_what_an_interrupted_build_of_another_corpus_left_is_removed_when_it_is_old(
    messy: list[Path], file: Path, cache: Path
) -> None:
    killed(messy[0], 0.3, "after")
    (leftover,) = names(cache / "corpora")
    corpus = built(settings(file))
    assert names(cache / "corpora") == [leftover, corpus.fingerprint]  # somebody may go on with it
    long_ago = time.time() - 40 * 86_400
    os.utime(cache / "corpora" / leftover / "progress.json", (long_ago, long_ago))
    other = built(settings(file, held_out_share=0.2))
    assert names(cache / "corpora") == sorted([corpus.fingerprint, other.fingerprint])


def test_a_build_that_got_nowhere_leaves_nothing(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "encode", forbidden)
    with pytest.raises(AssertionError):
        built(settings(file))
    assert names(cache / "corpora") == []
    assert len(names(cache / "tokenizers")) == 1  # this stage was over, and is kept


def test_a_leftover_without_progress_is_in_nobodys_way(file: Path, cache: Path) -> None:
    fingerprint = built(settings(file)).fingerprint
    (cache / "corpora" / fingerprint / "manifest.json").unlink()
    (cache / "corpora" / fingerprint).rename(cache / "corpora" / f".{fingerprint}.unfinished")
    (cache / "corpora" / ".another.unfinished").mkdir()
    assert built(settings(file)).fingerprint == fingerprint
    assert names(cache / "corpora") == [fingerprint]


def test_two_builds_at_once_do_the_work_once(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, said = [], list[str]()
    run = tokenising.Pass.run
    monkeypatch.setattr(
        tokenising.Pass, "run", lambda self, facts: (passes.append(1), time.sleep(0.5), run(self, facts))
    )
    built(settings(file)).folder.rename(cache / "set aside")  # so that both find a tokenizer
    passes.clear()
    with ThreadPoolExecutor(2) as both:
        corpora = list(both.map(lambda _: prepare(settings(file), said.append), range(2)))
    assert len(passes) == 1
    assert any("another process is building" in line for line in said)
    assert counted(corpora[0]) == counted(corpora[1])
    assert names(cache / "corpora") == [corpora[0].fingerprint]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_cleans_alike(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(cleaner, "ALONE", 0)
    monkeypatch.setattr(cleaner, "CHARACTERS_OF_A_PART", 1_000)
    pools = list[int]()
    pool = cleaner.ProcessPoolExecutor
    monkeypatch.setattr(cleaner, "ProcessPoolExecutor", lambda n, *rest: (pools.append(n), pool(n, *rest))[1])
    one = built(settings(messy[0], cleaning=EVERYTHING, workers=1))
    assert not pools
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "second"))
    several = built(settings(messy[0], cleaning=EVERYTHING, workers=processes))
    assert set(pools) == ({processes} if processes > 1 else set())
    assert bytes_of(several) == bytes_of(one)
    assert counted(several) == counted(one)


@pytest.mark.parametrize("name", ["train.bin", "held_out.bin"])
@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_cut_or_missing_file_of_tokens_is_named_with_the_remedy(file: Path, name: str, harm: str) -> None:
    folder = built(settings(file)).folder
    if harm == "cut":
        os.truncate(folder / name, 100)
    else:
        (folder / name).unlink()
    message = failure(lambda: built(settings(file)))
    assert message.startswith(f"{folder / name}: missing or cut")
    assert message.endswith(f"delete {folder} to build it anew")


@pytest.mark.parametrize("content", [None, b"", b'{"train": '])
def test_a_damaged_manifest_is_named_with_the_remedy(file: Path, content: bytes | None) -> None:
    folder = built(settings(file)).folder
    manifest = folder / "manifest.json"
    manifest.unlink() if content is None else manifest.write_bytes(content)
    message = failure(lambda: built(settings(file)))
    what = "missing" if content is None else "not what was written"
    assert message == f"{manifest}: {what}; delete {folder} to build it anew"


# ----------------------------------------------------------------------------------- too little text


def test_a_split_of_which_a_filter_leaves_too_little_is_named(file: Path) -> None:
    message = failure(lambda: built(settings(file, tokens_per_character=0.01)))
    assert message.startswith("the train split has 0 documents and 0 tokens, less than one block of 16")


def test_a_broken_line_late_in_a_file_is_named_and_nothing_is_kept(file: Path, cache: Path) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f'{{"text": "{SECRET}\n')
    message = failure(lambda: built(settings(file, sample_characters=100)))
    assert message.startswith(f"{file}: line 201: not valid JSON")
    assert names(cache / "corpora") == []


# ------------------------------------------------------------------------------------------ cleaning


def test_cleaning_steps_count_what_they_drop(tmp_path: Path) -> None:
    texts = [*sentences(100), *sentences(7), "court", "bref", "long " * 100]
    steps = [{"name": "length", "least": 10, "most": 400}, {"name": "exact_duplicates"}]
    manifest = built(settings(write(tmp_path / "a.jsonl", texts), cleaning=steps)).manifest
    assert manifest["dropped"] == {"too short": 2, "too long": 1, "exact duplicate": 7}
    assert manifest["train"]["documents"] + manifest["held_out"]["documents"] == 100


def cleaned(texts: list[str], *steps: dict[str, Any]) -> list[str]:
    documents = (Document(text, "") for text in texts)
    remaining, _ = clean(documents, steps)
    return [document.text for document in remaining]


def test_lengths_are_in_characters_and_both_ends_are_kept() -> None:
    assert cleaned(["é", "éé", "ééé", "éééé"], {"name": "length", "least": 2, "most": 3}) == ["éé", "ééé"]


def test_of_exact_duplicates_the_first_stays() -> None:
    assert cleaned(["a", "b", "a", "A", "b "], {"name": "exact_duplicates"}) == ["a", "b", "A", "b "]


def test_steps_apply_in_the_order_given() -> None:
    documents = (Document(text, "") for text in ["a", "a", "bb"])
    remaining, counts = clean(documents, [{"name": "exact_duplicates"}, {"name": "length", "least": 2}])
    assert len(list(remaining)) == 1
    assert dropped(counts) == {"exact duplicate": 1, "too short": 1}
    assert [(count.documents_in, count.documents_out) for count in counts] == [(3, 2), (2, 1)]
    assert [(count.characters_in, count.characters_out) for count in counts] == [(4, 3), (3, 2)]


# ------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": {"text_feild": "x"}}, "data.text_feild: files takes no such setting; did you mean"),
        ({"cleaning": [{"name": "lenght"}]}, "cleaning=lenght: no such cleaning step; did you mean"),
        ({"cleaning": [{"name": "length", "max": 3}]}, "cleaning.max: length takes no such setting"),
        ({"cleaning": ["french"]}, "cleaning: a list of steps, such as [{name: length"),
        (
            {"cleaning": [{"name": "near_duplicates", "similarity": 0.999}]},
            "cleaning.similarity=0.999: cannot",
        ),
        ({"data": {"online": "maybe"}}, "data.online=maybe: true or false"),
        ({"vocab_size": 3}, "tokenizer.vocab_size=3"),
        ({"sequence_length": 7}, "blocks.sequence_length=7: must be at least 8"),
        ({"held_out_share": 0}, "blocks.held_out_share=0: a share between 0 and 1"),
        ({"held_out_share": 1}, "blocks.held_out_share=1: a share between 0 and 1"),
    ],
    ids=str,
)
def test_mistakes_are_named_by_key(file: Path, changes: dict[str, Any], problem: str) -> None:
    (found,) = corpus_problems(settings(file, **changes))
    assert found.startswith(problem)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    wrong = settings(file, sequence_length=0, vocab_size=0, held_out_share=2, cleaning=[{"name": "x"}])
    assert len(corpus_problems(wrong)) == 4
    assert corpus_problems(settings(file)) == []
    assert cleaning_problems([{"name": "length", "least": 3}, {"name": "exact_duplicates"}]) == []


# ------------------------------------------------------------------------------------ privacy, memory


def test_what_holds_the_documents_words_is_open_to_its_owner_alone(file: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        corpus = built(settings(file))
    finally:
        os.umask(before)
    for folder in (cache, corpus.folder, corpus.tokenizer_folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_cache_in_a_shared_folder_is_still_private(file: Path, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o755)
    corpus = built(settings(file))
    for folder in (corpus.folder, corpus.tokenizer_folder):
        assert folder.stat().st_mode & 0o777 == 0o700


PEAK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_corpus import built, settings
built(settings(Path(sys.argv[2]), sample_characters=1_000_000, vocab_size=2000))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(file: Path) -> int:
    """The peak of the memory, in MiB, of a process that prepares a file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(file)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    paragraphs = [" ".join(sentences(8, seed)) for seed in range(500)]
    small = write(tmp_path / "small.jsonl", (f"{n} {paragraphs[n % 500]}" for n in range(3_300)))
    large = write(tmp_path / "large.jsonl", (f"{n} {paragraphs[n % 500]}" for n in range(19_500)))
    assert small.stat().st_size > 5_000_000
    assert large.stat().st_size > 29_000_000
    assert peak(large) - peak(small) < 15  # to hold the texts alone would take 23


# ------------------------------------------------------------------------------------------- the demo


def test_the_demo_becomes_a_corpus() -> None:
    config = PrepareConfig(
        data={"name": "demo", "documents": 300, "seed": 0},
        tokenizer=TokenizerConfig(vocab_size=500),
        blocks=BlocksConfig(sequence_length=32, held_out_share=0.1),
    )
    corpus = built(config)
    assert isinstance(corpus.train, Blocks)
    assert corpus.vocabulary.size == 500
    assert corpus.manifest["shaped_by"]["source"] == sources.build(**config.data).fingerprint()
