"""An exported corpus: whole or not there, checked before it is used, and the corpus that it was made from."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from test_corpus import EVERYTHING, built, bytes_of, counted, failure, forbidden, names, settings, write
from test_corpus import file as file  # a fixture

from bertinchamps.data import preparation, prepared
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.prepared import Export, export_corpus, read_export
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.schemas import PrepareConfig
from support import QUICK, before_update, command, composed, losses, metrics, stop


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on, another machine: its cache is empty."""
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(folder / "cache of another machine"))


def exported(config: PrepareConfig, folder: Path) -> Corpus:
    corpus = built(config)
    export_corpus(corpus, config, folder, lambda _: None)
    return corpus


def opening(folder: Path, **changes: Any) -> PrepareConfig:
    """A command line that knows nothing but the folder."""
    config = PrepareConfig(data={"name": "prepared", "folder": str(folder)})
    return replace(config, blocks=replace(config.blocks, sequence_length=16, **changes))


@pytest.fixture
def export(file: Path, tmp_path: Path) -> Path:
    exported(settings(file), tmp_path / "export")
    return tmp_path / "export"


def altered(export: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter the manifest of an export."""
    manifest = json.loads((export / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (export / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


# ----------------------------------------------------------------------------------- the same corpus


def test_another_machine_opens_the_corpus_that_was_exported(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = exported(settings(file, cleaning=EVERYTHING), tmp_path / "export")
    blocks = bytes_of(original)
    elsewhere(monkeypatch, tmp_path)
    file.unlink()
    corpus = built(opening(tmp_path / "export"))
    assert corpus.fingerprint == original.fingerprint
    assert corpus.vocabulary == original.vocabulary
    assert corpus.manifest == original.manifest
    assert bytes_of(corpus) == blocks
    assert corpus.tokenizer_folder == tmp_path / "export"
    assert corpus.folder.parents[1] == tmp_path / "cache of another machine"


def test_blocks_are_unpacked_once_and_not_at_all_beside_the_original(
    export: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack = Export.unpack
    monkeypatch.setattr(Export, "unpack", forbidden)
    assert (
        built(opening(export)).folder == built(settings(file)).folder
    )  # they are in the cache of this machine
    elsewhere(monkeypatch, tmp_path)
    monkeypatch.setattr(Export, "unpack", unpack)
    first = built(opening(export))
    monkeypatch.setattr(Export, "unpack", forbidden)
    assert built(opening(export)).folder == first.folder


def test_what_was_unpacked_is_the_preparation_of_the_documents(
    export: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path)
    unpacked = built(opening(export))
    monkeypatch.setattr(preparation, "Pass", forbidden)
    prepared_here = built(settings(file))
    assert (prepared_here.folder, counted(prepared_here)) == (unpacked.folder, counted(unpacked))


def test_a_tokenizer_of_the_users_own_travels_along(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = built(settings(file, vocab_size=120)).tokenizer_folder
    original = exported(settings(file, path=str(own)), tmp_path / "export")
    elsewhere(monkeypatch, tmp_path)
    assert str(own) not in (tmp_path / "export" / "manifest.json").read_text(encoding="utf-8")
    assert built(opening(tmp_path / "export")).vocabulary == original.vocabulary


def test_an_export_is_for_its_owners_eyes(export: Path) -> None:
    assert export.stat().st_mode & 0o777 == 0o700
    expected = [
        "held_out.bin.zst",
        "manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train.bin.zst",
    ]
    assert sorted(file.name for file in export.iterdir()) == expected


# ------------------------------------------------------------------------- whole, or not there at all


def test_an_export_that_fails_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepared, "_pack", full)
    message = failure(lambda: exported(settings(file), tmp_path / "new" / "export"))
    assert message == f"export={tmp_path / 'new' / 'export'}: cannot be written (No space left on device)"
    assert list((tmp_path / "new").iterdir()) == []


def test_exporting_touches_nothing_else_in_the_users_folder(file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "mine" / ".work.unfinished" / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("kept")
    exported(settings(file), tmp_path / "mine" / "export")
    assert theirs.read_text() == "kept"
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [".work.unfinished", "export"]


FILES = ["tokenizer.json", "tokenizer_config.json", "train.bin.zst", "held_out.bin.zst"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_cut_is_named_before_anything_starts(export: Path, name: str) -> None:
    size = (export / name).stat().st_size
    (export / name).write_bytes((export / name).read_bytes()[:-1])
    expected = (
        f"{export / name} has {size - 1} bytes instead of {size}; copy the folder again, or export it again"
    )
    assert corpus_problems(opening(export)) == [expected]
    (export / name).unlink()
    expected = f"{export / name} is missing; copy the folder again, or export it again"
    assert corpus_problems(opening(export)) == [expected]
    assert failure(lambda: built(opening(export))) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_altered_is_named_and_nothing_is_unpacked(
    export: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path)
    content = bytearray((export / name).read_bytes())
    content[len(content) // 2] ^= 1
    (export / name).write_bytes(content)
    assert f"{export / name} was altered" in failure(lambda: built(opening(export)))
    assert names(tmp_path / "cache of another machine" / "corpora") == []


def repacked(export: Path, content: bytes) -> None:
    """Other training blocks, with their digest as a file in the manifest."""
    file = export / "train.bin.zst"
    file.write_bytes(content)

    def change(manifest: dict[str, Any]) -> None:
        facts = {"bytes": len(content), "blake2b": prepared.content_hashes([file])[0]}
        manifest["files"][file.name].update(facts)

    altered(export, change)


@pytest.mark.parametrize("damage", ["other", "longer", "shorter", "cut", "no zstandard"])
def test_blocks_that_are_not_what_was_exported_are_refused_and_not_kept(
    export: Path, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = (export / "train.bin.zst").read_bytes()
    tokens = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    compress = zstandard.ZstdCompressor().compress
    repacked(
        export,
        {
            "other": compress(tokens[:-2] + b"\x07\x00"),
            "longer": compress(tokens + bytes(50_000_000)),
            "shorter": compress(tokens[:-2]),
            "cut": packed[:-9],
            "no zstandard": tokens,
        }[damage],
    )
    elsewhere(monkeypatch, tmp_path)
    assert f"{export / 'train.bin.zst'}: " in failure(lambda: built(opening(export)))
    assert names(tmp_path / "cache of another machine" / "corpora") == []


def test_unpacking_takes_little_memory(export: Path, tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 64, 30_000_000, dtype=np.uint16).tobytes()
    size = len(tokens)
    repacked(export, zstandard.ZstdCompressor().compress(tokens))
    altered(export, lambda manifest: manifest["files"]["train.bin.zst"].update(content_bytes=size))
    target = tmp_path / "target"
    target.mkdir()
    tracemalloc.start()
    message = failure(lambda: read_export({"folder": str(export)}).unpack(target, lambda _: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "what it unpacks to" in message
    assert (target / "train.bin").stat().st_size == size
    assert peak < size / 10


def test_a_full_disk_is_told_of_with_the_file_that_could_not_be_written(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    elsewhere(monkeypatch, tmp_path)
    monkeypatch.setattr(prepared, "flush_to_disk", full)
    assert "train.bin: cannot be written (No space left on device)" in failure(lambda: built(opening(export)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(format=2), "written by a newer version"),
        (
            lambda m: m.update(fingerprint="../../../outside"),
            "fingerprint is not that of what shaped the corpus",
        ),
        (lambda m: m["corpus"]["shaped_by"].update(held_out_share=0.3), "fingerprint is not that"),
        (lambda m: m["files"].pop("train.bin.zst"), "damaged"),
        (lambda m: m["files"]["train.bin.zst"].pop("content_bytes"), "damaged"),
        (lambda m: m.pop("format"), "damaged"),
    ],
    ids=["newer", "outside", "shaped otherwise", "file", "size", "no format"],
)
def test_a_manifest_that_is_not_of_such_an_export_is_refused(
    export: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    altered(export, change)
    (problem,) = corpus_problems(opening(export))
    assert said in problem
    assert str(export / "manifest.json") in problem


def test_a_folder_that_is_no_export_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    (problem,) = corpus_problems(opening(tmp_path))
    assert problem.startswith(f"data.folder={tmp_path}: {tmp_path / 'manifest.json'} is missing; ")
    assert "export=FOLDER" in problem


# -------------------------------------------------------------------------- settings that came too late


def test_settings_that_came_too_late_are_refused_all_at_once(export: Path) -> None:
    config = opening(export, held_out_share=0.2, tokens_per_character=0.4)
    config.cleaning = [{"name": "french"}]
    config.tokenizer = replace(config.tokenizer, vocab_size=500, normalizer="paper")
    config.data["online"] = True
    problems = corpus_problems(config)
    assert [problem.partition("=")[0].partition(":")[0] for problem in problems] == [
        "data.online",
        "cleaning",
        "tokenizer.normalizer",
        "tokenizer.vocab_size",
        "blocks.held_out_share",
        "blocks.tokens_per_character",
    ]
    assert problems[3] == (
        "tokenizer.vocab_size=500: the corpus is prepared already, with tokenizer.vocab_size=100; leave it out"
    )


def test_the_settings_of_the_export_may_be_given_again(file: Path, tmp_path: Path) -> None:
    config = settings(file, cleaning=EVERYTHING, tokens_per_character=0.9)
    exported(config, tmp_path / "export")
    assert corpus_problems(config) == []
    assert (
        corpus_problems(replace(config, data={"name": "prepared", "folder": str(tmp_path / "export")})) == []
    )


def test_a_tokenizer_is_refused_because_the_folder_brings_one(export: Path) -> None:
    config = opening(export)
    config.tokenizer.path = str(export)
    assert corpus_problems(config) == [
        f"tokenizer.path={export}: the corpus brings its tokenizer; leave it out"
    ]


def test_an_export_is_no_source_of_a_mix(export: Path) -> None:
    part = {"weight": 1, "name": "prepared", "folder": str(export)}
    config = replace(opening(export), data={"name": "mix", "sources": [part]})
    assert any("no such data source" in problem for problem in corpus_problems(config))


def test_the_command_exports_opens_and_says_what_it_cannot(tmp_path: Path) -> None:
    write(tmp_path / "notes.jsonl", [f"Note {n}. Le patient tousse la nuit." for n in range(300)])
    words = [
        "data=files",
        "data.files=[notes.jsonl]",
        "tokenizer.vocab_size=100",
        "blocks.held_out_share=0.1",
    ]
    first = command("bertinchamps.prepare", *words, "export=out/export", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "export    out/export (" in first.stderr
    again = command("bertinchamps.prepare", *words, "export=out/export", cwd=tmp_path)
    assert again.returncode == 2
    assert "export=out/export: is there already, and was not touched" in again.stderr
    opened = ["data=prepared", "data.folder=out/export"]
    other = {"BERTINCHAMPS_CACHE": str(tmp_path / "other")}
    second = command("bertinchamps.prepare", *opened, cwd=tmp_path, **other)
    assert second.returncode == 0, second.stderr
    counts = [line for line in first.stderr.splitlines() if line.startswith(("train", "held_out"))]
    assert [line for line in second.stderr.splitlines() if line.startswith(("train", "held_out"))] == counts
    late = ["stats=page.html", "export=another", "+cluster=local"]
    third = command("bertinchamps.prepare", *opened, *late, cwd=tmp_path, **other)
    assert third.returncode == 2
    for said in (
        "stats=page.html: reads documents",
        "export=another: data.folder is an export",
        "+cluster: ",
    ):
        assert said in third.stderr
    assert not (tmp_path / "another").exists()


# ------------------------------------------------------------------------------------------- training

LONG = ["budget.steps=8", "checkpoint.every_steps=4", "arch.dropout=0.1"]


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """The toy corpus of the quick runs, exported: the words that open it."""
    shaping = [word for word in QUICK if word.startswith(("data", "tokenizer", "blocks"))]
    config = composed(*shaping, command="prepare")
    exported(config, tmp_path / "toy")
    return ["data=prepared", f"data.folder={tmp_path / 'toy'}"]


def run_on_export(*words: str, **given: str) -> Path:
    from bertinchamps.checks.pretraining import problems
    from bertinchamps.pretrain import pretrain

    quick = [word for word in QUICK if not word.startswith("data")]
    config = composed(*quick, *words, *(f"{key}={value}" for key, value in given.items()))
    assert problems(config) == []
    return pretrain(config)


def stopped_at(step: int, *words: str, **given: str) -> None:
    """A run that is told to stop after so many updates."""
    with before_update(step, stop), pytest.raises(UserError, match=f"stopped at step {step}"):
        run_on_export(*words, **given)


def test_a_run_from_the_export_has_the_losses_of_one_from_the_documents(
    toy: list[str], quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = quick_run(*LONG, name="documents")
    elsewhere(monkeypatch, tmp_path)
    run = run_on_export(*LONG, *toy, run_dir=str(tmp_path / "export"))
    assert losses(run) == losses(expected)
    scores = ("loss", "accuracy")
    of_both = [
        [[record[key] for key in scores] for record in metrics(r, "held_out")] for r in (run, expected)
    ]
    assert of_both[0] == of_both[1]
    assert (run / "model/tokenizer.json").read_bytes() == (expected / "model/tokenizer.json").read_bytes()


@pytest.mark.parametrize("begun_on", ["documents", "export"])
@pytest.mark.parametrize("named", [True, False], ids=["run_dir", "runs_dir"])
def test_a_run_goes_on_across_the_documents_and_their_export(
    toy: list[str],
    quick_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun_on: str,
    named: bool,
) -> None:
    whole = losses(quick_run(*LONG, name="whole"))
    demo = [word for word in QUICK if word.startswith("data")]
    ways = {"documents": demo, "export": toy}
    first, second = ways.pop(begun_on), next(iter(ways.values()))
    place = {"run_dir": str(tmp_path / "run")} if named else {"runs_dir": str(tmp_path / "runs")}
    stopped_at(4, *LONG, *first, **place)
    elsewhere(monkeypatch, tmp_path)
    assert losses(run_on_export(*LONG, *second, "resume=auto", **place)) == whole


def test_a_run_does_not_go_on_with_another_corpus(toy: list[str], tmp_path: Path) -> None:
    place = {"runs_dir": str(tmp_path / "runs")}
    demo = [word for word in QUICK if word.startswith("data")]
    stopped_at(2, *LONG, *demo, "data.seed=1", **place)
    (other,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UserError, match="the corpus is not the one this run began with"):
        run_on_export(*LONG, *toy, f"resume={other}", **place)
    with pytest.raises(UserError, match=r"seed was 0 and is now 1"):
        run_on_export(*LONG, *toy, f"resume={other}", "seed=1", **place)
    assert run_on_export(*LONG, *toy, "resume=auto", **place) != other


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="torchrun is tested on Linux")
def test_two_processes_open_it_and_one_of_them_unpacks(
    toy: list[str], quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    expected = losses(quick_run(*LONG, name="documents"))
    quick = [word for word in QUICK if not word.startswith("data")]
    words = ["bertinchamps.pretrain", *quick, *LONG, *toy, "run_dir=two"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    other = {"BERTINCHAMPS_CACHE": str(tmp_path / "other")}
    result = command(*torchrun, *words, cwd=tmp_path, **other)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("unpacking") == 2  # each of the two files by one process
    assert losses(tmp_path / "two") == pytest.approx(expected, rel=2e-3)


def test_the_digest_that_names_a_corpus_survives_json(file: Path) -> None:
    corpus = built(settings(file, cleaning=EVERYTHING, tokens_per_character=0.9))
    facts = json.loads(json.dumps(corpus.manifest["shaped_by"]))
    assert digest(canonical(facts)) == corpus.fingerprint
    assert (
        np.fromfile(corpus.folder / "train.bin", dtype=np.uint16).size == corpus.manifest["train"]["tokens"]
    )
