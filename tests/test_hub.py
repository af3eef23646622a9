"""The ladder of the Hub's errors: each rung in words, whichever library passes the error on."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from huggingface_hub import errors

from bertinchamps import hub
from bertinchamps.data.tokenizer import _of_transformers as open_own_tokenizer
from bertinchamps.errors import UserError
from bertinchamps.model import encoders


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub"))


RUNGS = [
    (errors.HFValidationError("a/b/c"), "is not a name of the form owner/name"),
    (errors.GatedRepoError("403", response=answer(403)), "is gated: accept its terms at PAGE, then run"),
    (errors.RepositoryNotFoundError("404", response=answer(404)), "was not found on "),
    (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set"),
    (errors.HfHubHTTPError("503", response=answer(503)), " answered 503"),
    (httpx.ReadTimeout("slow"), "did not answer (ReadTimeout)"),
    (ConnectionResetError("gone"), "did not answer (ConnectionResetError)"),
]


def caused(cause: BaseException) -> OSError:
    """An error of a library that called huggingface_hub."""
    error = OSError("a long text of the library")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(("error", "told"), RUNGS, ids=[type(error).__name__ for error, _ in RUNGS])
def test_each_rung_is_told_whoever_passes_it_on(error: BaseException, told: str) -> None:
    for raised in (error, caused(error)):
        assert told in str(hub.meaning(raised, "PAGE"))


@pytest.mark.parametrize("error", [KeyError("x"), OSError("x"), errors.LocalEntryNotFoundError("x")])
def test_what_is_not_the_hubs_fault_is_not_laid_on_the_hub(error: BaseException) -> None:
    assert hub.meaning(error, "PAGE") is None
    error.__context__ = RUNGS[1][0]  # was only being handled at the time
    assert hub.meaning(error, "PAGE") is None


def test_an_error_with_another_cause_stays_what_it_is() -> None:
    with pytest.raises(KeyError), hub.reporting("key", "a/b", UserError):
        raise KeyError("x")
    full = pytest.raises(UserError, match=r"^cannot be read \(No space left on device\)$")
    with full, hub.reporting("key", "a/b", UserError):
        raise OSError(28, "No space left on device")


def test_a_model_that_the_hub_does_not_give_is_told_by_the_same_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    raised = [caused(RUNGS[1][0])]

    def opened(*_: object, **__: object) -> None:
        raise raised[0]

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", opened)
    with pytest.raises(UserError) as told:
        encoders.open_config("someone/model")
    assert "no such directory here, and the model is gated: accept its terms at" in str(told.value)
    assert "/datasets/" not in str(told.value)
    with pytest.raises(UserError, match=r"holds no such files, or damaged ones"):
        encoders.open_config(str(tmp_path))
    raised[0] = OSError("x")
    with pytest.raises(UserError, match=r"the Hub has nothing that transformers can open there"):
        encoders.open_config("someone/model")


def test_code_that_a_model_or_a_tokenizer_brings_is_refused_by_name_and_never_run(tmp_path: Path) -> None:
    model, words = tmp_path / "model", tmp_path / "words"
    code = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    for folder, file, content in (
        (model, "config.json", {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}),
        (words, "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["theirs.Tokens", "theirs.Tokens"]}}),
    ):
        folder.mkdir()
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
        (folder / "theirs.py").write_text(code, encoding="utf-8")
    told = "brings code of its own (auto_map), which is never run here; choose one of a class that transformers has"
    for open_it, folder, key in (
        (encoders.open_config, model, "model="),
        (encoders.open_tokenizer, words, "model="),
        (open_own_tokenizer, words, ""),
    ):
        with pytest.raises(UserError) as error:
            open_it(str(folder))
        assert str(error.value) == f"{key}{folder}: {told}"
    assert not list(tmp_path.rglob("ran"))
