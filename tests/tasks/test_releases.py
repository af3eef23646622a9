"""A corpus that is not there: the message says where it can be had, whichever corpus it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.releases import Release

# The settings of a reader, the first file that it looks for, the address, and the first name of an archive.
RELEASES = {
    "quaero": (
        {"corpus": "EMEA"},
        "train/EMEA/*.txt, no train/EMEA/*.ann, no dev/EMEA/*.txt",
        "The QUAERO French Medical Corpus can be had at https://quaerofrenchmed.limsi.fr/QUAERO_FrenchMed_brat.zip",
        "QUAERO_FrenchMed_brat.zip",
    ),
    "e3c": (
        {},
        "data_annotation/French/layer1/*.xml",
        "E3C-Corpus 2.0.0 can be had at https://github.com/hltfbk/",
        "E3C-Corpus-2.0.0.zip",
    ),
    "frasimed": (
        {"corpus": "disease"},
        "DISTEMIST-FRASIMED/*.txt",
        "FRASIMED can be had at https://zenodo.org/records/8355629",
        "FRASIMED.zip",
    ),
}


@pytest.mark.parametrize("name", RELEASES)
@pytest.mark.parametrize("path", [None, "missing.zip", "."])
@pytest.mark.parametrize("call", ["check", "read"])
def test_missing_data_say_where_they_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str | None, call: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings, file, address, archive = RELEASES[name]
    with pytest.raises(UserError) as caught:
        getattr(readers.build(name, path=path, **settings), call)()
    first, second, third = str(caught.value).splitlines()
    told = {
        None: "task.path: not given",
        "missing.zip": f"task.path=missing.zip: no such file or folder (looked from {tmp_path})",
        ".": f"task.path=.: no {file}",
    }
    assert first.startswith(told[path])
    assert second.startswith(address)
    assert third.startswith(f"then task.path=PATH names {archive}")
    assert "a folder that holds it" in third


def test_a_release_that_the_hub_has_names_it() -> None:
    with pytest.raises(UserError, match=r"or read a/b from the Hugging Face Hub with task\.hub=a/b"):
        Release("X", "https://x", ("x.zip",), "a/b").check("missing", ["a"])
