"""The site of the docs: its reference, its navigation, its build; and the files beside the code that tools read."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from bertinchamps.composing import config_dir, key_of_folder
from bertinchamps.schemas import COMMANDS
from support import ROOT


@pytest.fixture(scope="module")
def site_pages() -> ModuleType:
    """The hook of mkdocs, which the site imports by its path."""
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names_of(schema: Any, prefix: str = "") -> list[str]:
    names = []
    for knob in fields(schema):
        nested = knob.default_factory
        group = isinstance(nested, type) and is_dataclass(nested)
        names += names_of(nested, f"{prefix}{knob.name}.") if group else [prefix + knob.name]
    return names


def test_the_reference_has_every_key_of_every_command(site_pages: ModuleType) -> None:
    pages = site_pages.pages()
    for name, schema in COMMANDS.items():
        rows = re.findall(
            r"^\| `([\w.]+)` \|(.*)\|(.*)\|(.*)\|$", pages[f"reference/{name}.md"], re.MULTILINE
        )
        keys = {
            key: (takes.strip(), default.strip(), meaning.strip()) for key, takes, default, meaning in rows
        }
        wanted = names_of(schema)
        assert set(wanted) <= set(keys)
        assert all(keys[key][0] and keys[key][2] for key in wanted)
    pretrain = pages["reference/pretrain.md"]
    assert (
        "| `batch.size` | a whole number | `4096` | sequences in an update, once the ramp is over |"
        in pretrain
    )
    assert "[`+budget`](choices/budget.md)" in pretrain
    assert "{name: length, least: 0, most: None}" in pretrain


def test_the_reference_has_every_choice_with_its_comments(site_pages: ModuleType) -> None:
    pages = site_pages.pages()
    for file in config_dir().glob("*/*.yaml"):
        group = key_of_folder("export", file.parent.name)
        page = pages[f"reference/choices/{group}.md"]
        assert f"\n## {file.stem}\n" in page
        lines = file.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not line.startswith("#") and line not in page] == [], file
    assert "## lora\n\n`adapter=lora`\n\nLoRA: products" in pages["reference/choices/adapter.md"]


def test_the_navigation_has_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = [page for section in yaml.safe_load(text)["nav"] for page in next(iter(section.values()))]
    assert len(listed) == len(set(listed))
    written = {"index.md", "contributing.md", "changelog.md"}
    assert set(listed) - written == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_links_lead_to_where_their_targets_are_on_the_site(site_pages: ModuleType) -> None:
    moved = site_pages.with_site_links
    assert (
        moved("[a](docs/data.md#x) [b](CHANGELOG.md)", "README.md", "index.md")
        == "[a](data.md#x) [b](changelog.md)"
    )
    assert (
        moved("[a](../Dockerfile) [b](data.md)", "docs/offline.md", "offline.md")
        == "[a](files/Dockerfile) [b](data.md)"
    )
    assert moved("[a](../README.md)", "docs/map.md", "map.md") == "[a](index.md)"
    fenced = "```\n[a](docs/data.md)\n```"
    assert moved(fenced, "README.md", "index.md") == fenced


class Resources(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "a":
            self.found += [value for key in ("src", "href", "srcset") if (value := given.get(key))]


@pytest.mark.long
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    for needed in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: `make docs` installs it (the extra docs)")
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--quiet",
            "--strict",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert [found for found in resources.found if "//" in found] == [], page
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet
    api = (tmp_path / "site" / "reference" / "api" / "python.html").read_text(encoding="utf-8")
    assert 'id="bertinchamps.api.fine_tune"' in api
    assert (tmp_path / "site" / "files" / "Dockerfile").is_file()
    assert "fine_tune" in (tmp_path / "site" / "search" / "search_index.json").read_text(encoding="utf-8")


def test_the_citation_has_what_its_format_needs() -> None:
    from bertinchamps.__main__ import version

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == version("bertinchamps")
    assert [reference["year"] for reference in citation["references"]] == [2023, 2022]
    assert all({"type", "title", "authors"} <= set(reference) for reference in citation["references"])


def test_the_hooks_before_a_commit_run_what_the_environment_has() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == {".venv/bin/ruff", ".venv/bin/mypy"}
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}


def test_the_image_copies_what_exists_and_what_its_context_has() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    ]
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)


def test_a_slurm_job_that_is_stopped_ends_its_training_and_is_queued_again(tmp_path: Path) -> None:
    """With a torchrun and an scontrol that write down what they are told."""
    tools = tmp_path / "venv" / "bin"
    tools.mkdir(parents=True)
    said = tmp_path / "said"
    trains = f"trap 'echo stopped >> {said}; exit 1' TERM; echo \"$@\" >> {said}; sleep 60 & wait"
    for name, does in (("torchrun", trains), ("scontrol", f'echo "$@" >> {said}')):
        (tools / name).write_text(f"#!/bin/bash\n{does}\n", encoding="utf-8")
        (tools / name).chmod(0o700)
    given = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "VENV": str(tools.parent),
        "SLURM_JOB_ID": "7",
        "HOME": "/",
    }
    words = ["bash", str(ROOT / "examples" / "slurm.sh"), "data=demo", "run_dir=runs/day"]
    job = subprocess.Popen(words, env=given)
    deadline = time.monotonic() + 30
    while not said.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    job.terminate()
    assert job.wait(30) == 0
    trained = (
        "--standalone --nproc-per-node=1 -m bertinchamps.pretrain data=demo run_dir=runs/day resume=auto"
    )
    assert said.read_text(encoding="utf-8").splitlines() == [trained, "stopped", "requeue 7"]
