"""`publish` sends the files of an export to a hub, and nothing else, to nobody else, and not without a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from upload_hub import Hub, serving

from bertinchamps.checks.publishing import problems
from bertinchamps.errors import UserError
from bertinchamps.exporting.marker import write_marker
from bertinchamps.publish import publish
from bertinchamps.schemas import PublishConfig
from bertinchamps.training.checkpoint import write_directory

TOKEN, REPOSITORY = "hf_secret", "someone/french-bert"
FILES = {
    "README.md": "---\nlanguage: fr\n---\n\n# A model\n",
    "config.json": '{"model_type": "bert"}',
    "model.safetensors": "weights",
    "1_Pooling/config.json": "{}",
}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which has servers of its own


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(TOKEN) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        yield running


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    def fill(place: Path) -> None:
        for name, text in FILES.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
        write_marker(place, {"name": "hf"})

    write_directory(tmp_path / "exported", fill)
    return tmp_path / "exported"


def test_the_files_of_an_export_arrive_in_a_private_repository(
    hub: Hub, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "README.md").write_text(FILES["README.md"] + "Written by hand.\n", encoding="utf-8")
    config = PublishConfig(str(exported), REPOSITORY)
    assert problems(config) == []
    publish(config)
    assert hub.repositories == {REPOSITORY: True}
    told = capsys.readouterr()
    wanted = {**FILES, "README.md": FILES["README.md"] + "Written by hand.\n"}
    assert {name: text.decode() for name, text in hub.files.items() if name != "export.json"} == wanted
    lines = (told.out + told.err).splitlines()
    assert lines[0] == f"publish    5 files, 0.00 MB → {hub.endpoint}/{REPOSITORY} (private)"
    assert [line.split()[0] for line in lines[1:6]] == sorted(hub.files)
    assert lines[-1] == f"published  {hub.endpoint}/{REPOSITORY}"
    publish(config)  # again, into the same repository


def test_a_dry_run_says_what_would_be_sent_and_asks_nobody(
    hub: Hub, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    config = PublishConfig(str(exported), REPOSITORY, dry_run=True)
    assert problems(config) == []
    publish(config)
    told = capsys.readouterr()
    assert "model.safetensors" in told.out + told.err
    assert "dry_run=true: nothing was sent" in told.out + told.err
    assert hub.requests == []


def test_without_a_token_it_is_refused_with_the_way_to_one(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (told,) = problems(PublishConfig(str(exported), REPOSITORY))
    assert "hf auth login, or set HF_TOKEN; dry_run=true lists" in told


@pytest.mark.parametrize("kind", ["run", "checkpoint", "predictions", "nothing"])
def test_what_is_no_export_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / kind
    files = {"run": ["run.json", "model/config.json"], "checkpoint": ["config.json", "manifest.json"]}
    for name in files.get(kind, ["test.jsonl"] if kind == "predictions" else []):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}", encoding="utf-8")
    (told,) = problems(PublishConfig(str(folder), REPOSITORY))
    assert "is not an exported model (no export.json)" in told
    with pytest.raises(UserError, match="not an exported model"):
        publish(PublishConfig(str(folder), REPOSITORY))


def test_what_lies_beside_the_files_of_an_export_is_not_sent(
    hub: Hub, exported: Path, tmp_path: Path
) -> None:
    (exported / "predictions").mkdir()
    (exported / "predictions" / "test.jsonl").write_text("{}", encoding="utf-8")
    (told,) = problems(PublishConfig(str(exported), REPOSITORY))
    assert "predictions/test.jsonl: not written by export" in told
    with pytest.raises(UserError, match="not written by export"):
        publish(PublishConfig(str(exported), REPOSITORY))
    (exported / "predictions" / "test.jsonl").unlink()
    (exported / "config.json").write_text("{} ", encoding="utf-8")
    (told,) = problems(PublishConfig(str(exported), REPOSITORY))
    assert "config.json is cut" in told
    (exported / "config.json").unlink()
    (exported / "config.json").symlink_to(tmp_path / "elsewhere")
    assert problems(PublishConfig(str(exported), REPOSITORY))
    assert hub.requests == []


def test_a_name_that_is_none_is_refused(exported: Path) -> None:
    assert problems(PublishConfig(str(exported), "a/b/c"))[0].startswith("repo=a/b/c: ")


def test_a_public_repository_takes_a_model_only_where_it_was_asked_for(hub: Hub, exported: Path) -> None:
    hub.repositories[REPOSITORY] = False
    with pytest.raises(UserError, match=r"is public; private=false sends the model to everybody"):
        publish(PublishConfig(str(exported), REPOSITORY))
    assert hub.files == {}
    publish(PublishConfig(str(exported), REPOSITORY, private=False))
    assert hub.files


def test_errors_of_the_hub_are_told(hub: Hub, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.failing = 400
    with pytest.raises(UserError, match=rf"repo={REPOSITORY}: cannot be written: .* answered 400"):
        publish(PublishConfig(str(exported), REPOSITORY))
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(
        UserError, match=r"refused the token \(401\): it must be allowed to write there"
    ) as told:
        publish(PublishConfig(str(exported), REPOSITORY))
    assert "hf_other" not in str(told.value)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be written: .* did not answer"):
        publish(PublishConfig(str(exported), REPOSITORY))
