"""A checkpoint is whole or refused by name; the one before it is used then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from bertinchamps import manifests
from bertinchamps.errors import UserError
from bertinchamps.training import checkpoint


def save_model(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "config.json").write_text("{}")


def write(parent: Path, step: int) -> Path:
    folder = parent / checkpoint.name_of(step)
    checkpoint.write(folder, save_model, {"moment": torch.ones(3)}, {"position": step})
    return folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = write(tmp_path, 7)
    assert manifests.problems(folder) == []
    assert checkpoint.read_state(folder) == {"position": 7}
    assert torch.equal(checkpoint.read_optimizer(folder)["moment"], torch.ones(3))


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "resume/optimizer.pt", "resume/state.json", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_is_used(
    tmp_path: Path, file: str, damage: str
) -> None:
    good, bad = write(tmp_path, 5), write(tmp_path, 10)
    content = (bad / file).read_bytes()
    if damage == "cut":
        (bad / file).write_bytes(content[: len(content) // 2])
    elif damage == "altered" and file != "manifest.json":
        (bad / file).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        (bad / file).unlink()
    warnings: list[str] = []
    assert checkpoint.latest(tmp_path, warnings.append) == good
    assert len(warnings) == 1
    assert str(bad / file) in warnings[0]
    write(
        tmp_path, 6
    )  # training goes on from there: what it writes must not count as older than the refused one
    checkpoint.keep_latest(tmp_path, 1)
    assert [folder.name for folder in checkpoint.all_of(tmp_path)] == ["step-00000006"]


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    checkpoint.keep_latest(tmp_path, 2)
    assert [folder.name for folder in checkpoint.all_of(tmp_path)] == ["step-00000003", "step-00000004"]


def test_a_write_that_fails_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(tmp_path / checkpoint.name_of(1), fail, {}, {})
    assert checkpoint.all_of(tmp_path) == []
    assert manifests.problems(write(tmp_path, 1)) == []  # the leftovers are no obstacle


@pytest.mark.parametrize("error", [SafetensorError("no space left"), RuntimeError("unexpected pos 64")])
def test_a_full_disk_is_an_os_error_whoever_notices_it(tmp_path: Path, error: Exception) -> None:
    def fail(folder: Path) -> None:
        raise error

    with pytest.raises(OSError, match=str(error)):
        checkpoint.write_directory(tmp_path / "model", fail)
    assert not (tmp_path / "model").exists()


def test_code_in_a_resume_state_is_never_run(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)

    class Malicious:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"moment": Malicious()}, folder / "resume" / "optimizer.pt")
    with pytest.raises(UserError, match=r"optimizer\.pt"):
        checkpoint.read_optimizer(folder)
    assert not (tmp_path / "owned").exists()


def test_the_manifest_names_every_file(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} - {"manifest.json"}
    assert set(manifest) == files
