"""The pack for a machine without a network: what it holds is what that machine lacks, and it opens there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import QUICK, ROOT, command

HAS: dict[str, str | None] = {"numpy": "2.5.2", "requests": None}


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import gpu_wheels

    return gpu_wheels


@pytest.fixture
def pack(wheels: ModuleType) -> ModuleType:
    import gpu_pack

    return gpu_pack


def target(wheels: ModuleType, python: str = "3.12", machine: str = "x86_64", **has: str | None) -> Any:
    return wheels.Target(python, 28, machine, {**HAS, **has})


# ------------------------------------------------------------------------------------------ closure

METADATA = {
    "top": ["middle>=1", "only-old; python_version < '3.12'", "only-arm; platform_machine == 'aarch64'"],
    "middle": ["leaf[fast]", "numpy>=3", "requests", "top"],
    "leaf": ["speed; extra == 'fast'", "colour; extra == 'pretty'", "windows; sys_platform == 'win32'"],
    "speed": [],
    "only-old": [],
    "only-arm": [],
}


@pytest.mark.parametrize(
    ("python", "machine", "more"),
    [("3.12", "x86_64", set()), ("3.11", "x86_64", {"only-old"}), ("3.13", "aarch64", {"only-arm"})],
)
def test_the_closure_is_that_of_the_other_machine(
    wheels: ModuleType, python: str, machine: str, more: set[str]
) -> None:
    found = wheels.closure(["Top"], target(wheels, python, machine), METADATA.__getitem__)
    assert found.names == {"top", "middle", "leaf", "speed"} | more


def test_extras_are_followed_where_somebody_asks_for_them_and_nowhere_else(wheels: ModuleType) -> None:
    plain = wheels.closure(["leaf"], target(wheels), METADATA.__getitem__)
    assert plain.names == {"leaf"}
    both = wheels.closure(["leaf", "leaf[fast]"], target(wheels), METADATA.__getitem__)
    assert both.names == {"leaf", "speed"}


def test_what_the_machine_has_is_left_out_with_all_that_it_needs(wheels: ModuleType) -> None:
    found = wheels.closure(["top"], target(wheels, middle=None), METADATA.__getitem__)
    assert found.names == {"top"}


def test_a_version_that_does_not_do_is_reported(wheels: ModuleType) -> None:
    found = wheels.closure(["top"], target(wheels), METADATA.__getitem__)
    assert found.notes == {"middle asks for numpy>=3, and the machine has 2.5.2"}


def test_a_package_that_is_not_installed_here_is_named(wheels: ModuleType) -> None:
    with pytest.raises(wheels.Problem, match="no-such-package is needed there and not installed here"):
        wheels.closure(["no-such-package"], target(wheels), wheels.installed)


def test_the_projects_own_closure_is_pinned_and_holds_what_the_usual_machine_lacks(pack: ModuleType) -> None:
    machine = pack.packages_in(pack.MACHINE)
    assert list(machine) == sorted(set(machine), key=list(machine).index)  # no package twice
    there = pack.Target("3.12", 28, "x86_64", machine)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = pack.gpu_wheels.closure(
        [*project["dependencies"], *pack.TESTING], there, pack.gpu_wheels.installed
    )
    expected = {
        "hydra-core",
        "omegaconf",
        "antlr4-python3-runtime",
        "spacy",
        "thinc",
        "pydantic-core",
        "zstandard",
    }
    assert expected | set(pack.CLEANING) <= found.names
    assert not found.names & {*machine, "torch", "transformers", "pytest"}
    pins = pack.packages_in(ROOT / "constraints.txt")
    assert not {name for name in found.names if pins.get(name) is None}
    assert found.notes == set()


def test_lists_of_packages_are_read_as_pip_writes_them(wheels: ModuleType, tmp_path: Path) -> None:
    lines = [
        "# a comment",
        "Jinja2==3.1.6",
        "  typing_extensions  # why",
        "",
        "torch==2.11.0+cu128",
        "own @ file:///x",
    ]
    file = tmp_path / "have.txt"
    file.write_text("\n".join(lines))
    versions = {"jinja2": "3.1.6", "typing-extensions": None, "torch": "2.11.0+cu128", "own": None}
    assert wheels.packages_in(file) == versions
    file.write_text("torch\nnumpy 2.5.2\n")
    with pytest.raises(wheels.Problem, match=re.escape(f"{file}: line 2: neither NAME nor NAME==VERSION")):
        wheels.packages_in(file)


def test_tags_are_spelt_out_because_pip_implies_no_older_ones(wheels: ModuleType) -> None:
    tags = target(wheels).platforms()
    assert tags[0] == "manylinux_2_28_x86_64"
    assert tags[-2:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64"]
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64"} <= set(tags)
    assert "manylinux2014_aarch64" in target(wheels, machine="aarch64").platforms()


# -------------------------------------------------------------------------------------------- wheels


def wheel(folder: Path, name: str, tag: str, content: bytes = b"VALUE = 1\n" * 2000) -> Path:
    """A wheel of one module, and a script with its executable bit."""
    files = {
        f"{name}.py": content,
        f"{name}-1.0.data/scripts/{name}-run": b"#!python\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{name}-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    rows = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in files.items()]
    files[f"{name}-1.0.dist-info/RECORD"] = "\n".join([*rows, f"{name}-1.0.dist-info/RECORD,,"]).encode()
    file = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path)
            info.external_attr = (0o755 if "/scripts/" in path else 0o644) << 16
            archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED)
    return file


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


BACKEND = """
import pathlib, shutil
def build_wheel(folder, config_settings=None, metadata_directory=None):
    ready, = pathlib.Path(__file__).parent.glob("*.whl")
    shutil.copy(ready, folder)
    return ready.name
"""


def source(folder: Path, name: str, tag: str) -> None:
    """A source distribution that builds, with nothing from an index, a wheel of this tag."""
    ready = wheel(folder, name, tag)
    contents = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.encode(),
        ready.name: ready.read_bytes(),
    }
    ready.unlink()
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, data in contents.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for pip's index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for tag in (
        "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp312-cp312-manylinux_2_34_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp312-cp312-win_amd64",
    ):
        wheel(folder, "native", tag)
    wheel(folder, "pure", "py3-none-any")
    wheel(folder, "old", "cp36-cp36m-manylinux1_x86_64")
    source(folder, "written", "py3-none-any")
    source(folder, "compiled", "cp312-cp312-linux_x86_64")
    for key, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{key}", value)
    return folder


def test_wheels_are_those_of_the_other_machine_and_pure_ones_are_built(
    wheels: ModuleType, index: Path, tmp_path: Path
) -> None:
    for name in ("native", "pure", "written"):
        assert wheels.fetch(f"{name}==1.0", target(wheels), tmp_path) is None
    assert sorted(file.name for file in tmp_path.glob("*.whl")) == [
        "native-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "pure-1.0-py3-none-any.whl",
        "written-1.0-py3-none-any.whl",
    ]


def test_what_has_no_wheel_there_is_refused(wheels: ModuleType, index: Path, tmp_path: Path) -> None:
    said = wheels.fetch("compiled==1.0", target(wheels), tmp_path)
    assert (
        said == "compiled==1.0: no wheel for Python 3.12 on manylinux_2_28_x86_64, and it is not pure Python"
    )
    assert "ERROR: No matching distribution found for old==1.0" in wheels.fetch(
        "old==1.0", target(wheels), tmp_path
    )
    assert list(tmp_path.glob("*.whl")) == []


def test_a_wheel_made_small_installs_as_before(wheels: ModuleType, tmp_path: Path) -> None:
    library = b"".join(number.to_bytes(4, "little") for number in range(60_000))
    file = wheel(tmp_path, "native", "py3-none-any", b"DATA = " + repr(library).encode())
    with zipfile.ZipFile(file) as archive:
        before = {info.filename: (archive.read(info), info.external_attr) for info in archive.infolist()}
    size = file.stat().st_size
    wheels.shrink(file)
    assert file.stat().st_size < 0.7 * size
    assert list(tmp_path.iterdir()) == [file]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {i.filename: (archive.read(i), i.external_attr) for i in archive.infolist()} == before
    install(file, site=tmp_path / "site")
    found = run("-c", "import native; print(len(native.DATA))", PYTHONPATH=str(tmp_path / "site"))
    assert found.stdout.strip() == "240000", found.stderr


def install(*files: Path, site: Path) -> None:
    """As the script tells users to."""
    options = ["-q", "--no-index", "--no-deps", "--no-compile", "--target", str(site)]
    done = run("-m", "pip", "install", *options, *map(str, files))
    assert done.returncode == 0, done.stderr


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# ----------------------------------------------------------------------------------- the whole script


@pytest.fixture
def project(pack: ModuleType, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project of three packages, of which the machine has one, and the first words of a command line."""
    root = tmp_path / "project"
    root.mkdir()
    dependencies = 'dependencies = ["written>=1", "numpy", "ftfy"]'
    (root / "pyproject.toml").write_text(f"[project]\n{dependencies}\n")
    (root / "constraints.txt").write_text("written==1.0\npure==1.0\nftfy==6.3.1\n")
    (root / "src").symlink_to(ROOT / "src")
    have = tmp_path / "have.txt"
    have.write_text("numpy\npytest==9.2.0\npytest-timeout\n")
    monkeypatch.setattr(pack, "ROOT", root)
    monkeypatch.setattr(pack.gpu_wheels, "installed", {"written": ["pure"], "pure": []}.__getitem__)
    return ["--out", str(tmp_path / "PACK"), "--have", str(have)]


def packed(pack: ModuleType, words: list[str]) -> int:
    """The exit status."""
    try:
        pack.main(words)
    except SystemExit as end:
        return int(str(end.code))
    return 0


def test_a_pack_opens_on_a_machine_that_has_only_it(
    pack: ModuleType, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quaero, labelled = tmp_path / "mine.zip", tmp_path / "notes.jsonl"
    quaero.write_bytes(b"a zip")
    labelled.write_text("{}\n")
    shaping = [word for word in QUICK if word.startswith(("data", "tokenizer", "blocks"))]
    words = [*project, "--quaero", str(quaero), "--labelled", str(labelled), "--", *shaping]
    assert packed(pack, words) == 0
    folder = tmp_path / "PACK"
    assert sorted(path.name for path in folder.iterdir()) == ["data", "wheels"]
    assert {path.name for path in (folder / "data").iterdir()} == {
        "corpus", "labelled", "manifest.json", "QUAERO_FrenchMed_brat.zip",
    }  # fmt: skip
    for name in ("data", "wheels"):
        manifest = json.loads((folder / name / "manifest.json").read_text(encoding="utf-8"))
        listed = {file: facts["bytes"] for file, facts in manifest["files"].items()}
        there = [path for path in (folder / name).rglob("*") if path.is_file()]
        sizes = {str(path.relative_to(folder / name)): path.stat().st_size for path in there}
        del sizes["manifest.json"]
        assert listed == sizes
    assert manifest["packages"] == {"pure": "1.0", "written": "1.0"}
    assert manifest["left out"] == ["datasketch", "ftfy", "py3langid"]

    told = capsys.readouterr().out
    assert "--target ../site ../PACK/wheels/*.whl" in told
    assert "gpu_minutes.py --pack ../PACK/data " in told
    install(*(folder / "wheels").glob("*.whl"), site=tmp_path / "site")
    assert run("-c", "import pure, written", PYTHONPATH=str(tmp_path / "site")).returncode == 0
    opened = ["data=prepared", f"data.folder={folder / 'data' / 'corpus'}"]
    other = {"BERTINCHAMPS_CACHE": str(tmp_path / "other")}
    assert command("bertinchamps.prepare", *opened, cwd=tmp_path, **other).returncode == 0


def test_an_exported_corpus_is_packed_as_it_is(pack: ModuleType, project: list[str], tmp_path: Path) -> None:
    shaping = [word for word in QUICK if word.startswith(("data", "tokenizer", "blocks"))]
    assert command("bertinchamps.prepare", *shaping, "export=export", cwd=tmp_path).returncode == 0
    words = [*project, "--only", "data", "--corpus", str(tmp_path / "export")]
    assert packed(pack, words) == 0
    assert not (tmp_path / "PACK" / "wheels").exists()
    copies = [
        (folder / "train.bin.zst").read_bytes()
        for folder in (tmp_path / "export", tmp_path / "PACK" / "data" / "corpus")
    ]
    assert copies[0] == copies[1]


def test_a_folder_above_the_limit_fails_with_its_largest_files(
    pack: ModuleType, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large, small = tmp_path / "large.zip", tmp_path / "small.zip"
    large.write_bytes(bytes(2_500_000))
    small.write_bytes(bytes(400_000))
    words = ["--limit", "2", "--labelled", str(large), "--labelled", str(small)]
    assert packed(pack, [*project, *words]) == 2
    told = capsys.readouterr()
    assert f"{tmp_path / 'PACK' / 'data'} has 2.9 MB, more than 2. The largest of its files:\n" in told.err
    assert "     2.5 MB  labelled/large.zip\n       0.4 MB  labelled/small.zip\n" in told.err
    assert "wheels has" not in told.err
    assert told.out == ""


def test_every_mistake_is_told_before_anything_is_built(
    pack: ModuleType, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "PACK" / "wheels").mkdir(parents=True)
    words = [
        "--quaero",
        "none.zip",
        "--labelled",
        "a/x.json",
        "--labelled",
        "b/x.json",
        "--corpus",
        str(tmp_path),
    ]
    assert packed(pack, [*project, *words, "--python", "12", "--", "data=demo"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"{tmp_path / 'PACK' / 'wheels'}: is there already",
        "--quaero none.zip: no such file",
        "--labelled a/x.json: no such file",
        "--labelled b/x.json: no such file",
        "--labelled: two files are called x.json",
        f"--corpus {tmp_path}: no manifest.json there; prepare export=DIR writes such a folder",
        "--corpus and settings of prepare: give one of them",
        "--python 12: a version such as 3.12",
    ]


def test_what_fails_leaves_no_folder_that_looks_whole(
    pack: ModuleType, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pack.ROOT / "constraints.txt").write_text("written==1.0\n")
    assert packed(pack, project) == 2
    assert "pure: no version in constraints.txt" in capsys.readouterr().err
    (pack.ROOT / "constraints.txt").write_text("written==1.0\npure==3\n")
    assert packed(pack, project) == 2
    assert "pure==3: ERROR: " in capsys.readouterr().err
    assert packed(pack, [*project, "--only", "data", "--", "data=demo", "tokenizer.vocab_size=1"]) == 2
    assert "the corpus could not be prepared" in capsys.readouterr().err
    assert not any(path.name in ("wheels", "data") for path in (tmp_path / "PACK").iterdir())


def test_an_exported_corpus_needs_nothing_of_what_is_left_out(pack: ModuleType, tmp_path: Path) -> None:
    shaping = [word for word in QUICK if word.startswith(("data", "tokenizer", "blocks"))]
    assert command("bertinchamps.prepare", *shaping, "export=export", cwd=tmp_path).returncode == 0
    blocker = f"import sys\nfor name in {pack.CLEANING}:\n    sys.modules[name] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocker)
    quick = [word for word in QUICK if not word.startswith("data")]
    words = ["data=prepared", "data.folder=export", "budget.steps=1", *quick]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    other = {"BERTINCHAMPS_CACHE": str(tmp_path / "other"), "PYTHONPATH": path}
    trained = command("bertinchamps.pretrain", *words, cwd=tmp_path, fresh=True, **other)
    assert trained.returncode == 0, trained.stderr
    cleaned = ["data=demo", "cleaning=[{name: french}]", "tokenizer.vocab_size=400"]
    assert command("bertinchamps.prepare", *cleaned, cwd=tmp_path, fresh=True, **other).returncode != 0
