#!/usr/bin/env python3
"""The pages of the docs' site that are written by no hand: a hook of MkDocs, which mkdocs.yml names.

    python scripts/site_pages.py FOLDER     writes them into a folder, for reading without MkDocs

- a page for each command: its keys, from the schemas;
- a page for each group of configs/: its choices, with the comments of their yaml files;
- the API: what mkdocstrings reads in docstrings;
- README.md as the home page, CONTRIBUTING.md and CHANGELOG.md.

They are made at build time and never committed, so they cannot be older than the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from bertinchamps.__main__ import ABOUT  # noqa: E402
from bertinchamps.command_line import keys  # noqa: E402
from bertinchamps.composing import folder_of_key  # noqa: E402
from bertinchamps.schemas import COMMANDS  # noqa: E402

ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
FILES = "files"  # of the repository that pages link to, in the site
LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s]+)(?P<rest>#[^)]*)?(?=\))")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

# Title → modules whose docstrings are the page.
API = {
    "Python": ("bertinchamps.api", "bertinchamps.tasks.together"),
    "Contract": ("bertinchamps.contract", "bertinchamps.errors"),
    "Registry": ("bertinchamps.registry",),
    "Sources and cleaning": ("bertinchamps.data.sources", "bertinchamps.data.cleaning"),
    "Objectives": ("bertinchamps.objectives", "bertinchamps.objectives.objective"),
    "Readers and kinds of tasks": ("bertinchamps.tasks.readers", "bertinchamps.tasks.kinds"),
    "Heads": ("bertinchamps.model.heads", "bertinchamps.tasks.tagging.representations"),
    "Adapters": ("bertinchamps.model.adapters",),
    "Hooks, schedules, optimizers": (
        "bertinchamps.training.hook",
        "bertinchamps.training.schedules",
        "bertinchamps.training.optim",
    ),
    "Protocols of scores": ("bertinchamps.metrics.protocols",),
    "Exporters": ("bertinchamps.exporting",),
}


def pages() -> dict[str, str]:
    """Path in the site → Markdown."""
    found = {"reference/commands.md": _commands()}
    found |= {f"reference/{name}.md": _command(name) for name in COMMANDS}
    found |= {f"reference/choices/{group}.md": _group(group) for group in _groups()}
    found |= {f"reference/api/{_slug(title)}.md": _api(title) for title in API}
    found |= {page: (ROOT / file).read_text(encoding="utf-8") for file, page in ROOT_PAGES.items()}
    return found


def _groups() -> list[str]:
    return sorted({group for command in COMMANDS for group in keys.groups_of(command)})


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title.lower())


def _commands() -> str:
    rows = [
        f"| [`{name}`]({name}.md) | {ABOUT[name]} |" if name in COMMANDS else f"| `{name}` | {ABOUT[name]} |"
        for name in ABOUT
    ]
    return "\n".join(
        [
            "# Commands",
            "",
            "`python -m bertinchamps.COMMAND KEY=VALUE …`, or `bertinchamps COMMAND KEY=VALUE …`.",
            "",
            "| command | |",
            "| --- | --- |",
            *rows,
            "",
            "`--help` prints what these pages say; `--cfg job` prints the configuration of a command line.",
            "",
        ]
    )


def _command(name: str) -> str:
    """The page of a command: its groups, then every key."""
    lines = [f"# {name}", "", f"`python -m bertinchamps.{name}`: {ABOUT[name]}.", ""]
    if groups := keys.groups_of(name):
        lines += ["## Choices", "", "A file of `configs/`, as `GROUP=CHOICE`.", ""]
        lines += ["| group | choices | default |", "| --- | --- | --- |"]
        for group in groups:
            menu = ", ".join(f"`{choice}`" for choice in keys.choices_of(name, group))
            default = keys.default_of(name, group)
            lines.append(
                f"| [`{keys.typed(group)}`](choices/{group}.md) | {menu} | {f'`{default}`' if default else ''} |"
            )
        lines.append("")
    lines += ["## Keys", "", "As `KEY=VALUE`. The default is overruled by the choices above.", ""]
    lines += [*_tables(COMMANDS[name])]
    if keys.has_cleaning(name):
        lines += ["", "## Steps of cleaning", "", "Entries of `cleaning`, with their defaults.", ""]
        lines += ["| entry | what it does |", "| --- | --- |"]
        lines += [f"| `{entry}` | {_cell(about)} |" for entry, about in keys.cleaning_steps()]
    return "\n".join([*lines, ""])


def _tables(schema: type) -> Iterator[str]:
    """A table of the keys at the top, then one of each group."""
    declared = list(keys.declared(schema))
    alone = [key for key in declared if "." not in key.name and not key.is_group]
    yield from _table(alone)
    for group in (key for key in declared if key.is_group):
        yield from ("", f"### {group.name}", "", group.meaning, "")
        yield from _table([key for key in declared if key.name.rpartition(".")[0] == group.name])


def _table(rows: list[keys.Key]) -> Iterator[str]:
    yield from ("| key | takes | default | meaning |", "| --- | --- | --- | --- |")
    for key in rows:
        default = "" if key.default is None else f"`{key.default}`"
        yield f"| `{key.name}` | {key.takes} | {default} | {_cell(key.meaning)} |"


def _cell(text: str) -> str:
    """Text for a cell of a table: no markup, no tag."""
    return re.sub(r"([\\|*_<\[{])", r"\\\1", text) if "`" not in text else text.replace("|", "\\|")


def _group(group: str) -> str:
    """The page of a group: each file, its comment as text and its settings as they are."""
    commands = [name for name in COMMANDS if group in keys.groups_of(name)]
    owners = ", ".join(f"[{name}](../{name}.md)" for name in commands)
    folder = folder_of_key(commands[0], group)
    lines = [f"# {keys.typed(group)}=", "", f"Choices of `configs/{folder}/`, for {owners}.", ""]
    for choice in keys.choices_of(commands[0], group):
        about, settings = _parted(keys.text_of(commands[0], group, choice))
        lines += [f"## {choice}", "", f"`{keys.typed(group)}={choice}`", ""]
        lines += [
            *(
                ["```text", *about, "```", ""]
                if any(_is_code(line) for line in about)
                else [*map(_cell, about), ""]
            )
        ]
        lines += ["```yaml", *settings, "```", ""]
    return "\n".join(lines)


def _parted(text: str) -> tuple[list[str], list[str]]:
    """The comment at the top of a yaml file, and the rest of it."""
    lines = text.rstrip("\n").splitlines()
    first = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    about = [line.removeprefix("#").removeprefix(" ") for line in lines[:first]]
    return [line for line in about if not line.startswith("@package")], lines[first:]


def _is_code(line: str) -> bool:
    return line.startswith("  ")


def _api(title: str) -> str:
    return "\n".join([f"# {title}", "", *(f"::: {module}\n" for module in API[title])])


def linked_files(text: str, page: str) -> Iterator[tuple[str, Path]]:
    """Links of a page to files of the repository outside of docs/: as written, and the file.

    Args:
        text: of the page.
        page: its path in the repository, such as "docs/data.md".
    """
    for found in LINK.finditer(FENCED.sub("", text)):
        target = found["target"]
        path = (ROOT / page).parent / target
        if "://" not in target and path.is_file() and not path.resolve().is_relative_to(ROOT / "docs"):
            yield target, path.resolve()


def with_site_links(text: str, page: str, own: str) -> str:
    """A page's text with its links as they are on the site.

    Args:
        text: of the page.
        page: its path in the repository.
        own: its path in the site.
    """
    up = "../" * own.count("/")
    outside = {
        target: f"{up}{ROOT_PAGES.get(str(path.relative_to(ROOT)), f'{FILES}/{path.relative_to(ROOT)}')}"
        for target, path in linked_files(text, page)
    }

    def moved(found: re.Match[str]) -> str:
        target = found["target"]
        new = outside.get(target) or (target.removeprefix("docs/") if "/" not in page else target)
        return new + (found["rest"] or "")

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def _source(page: str) -> str:
    """Where a page of the site stands in the repository."""
    return next((file for file, name in ROOT_PAGES.items() if name == page), f"docs/{page}")


# --- the hook -------------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Add the generated pages to the section Reference."""
    (reference,) = (section for section in config.nav if "Reference" in section)
    reference["Reference"] = [
        {"Commands": ["reference/commands.md", *(f"reference/{name}.md" for name in COMMANDS)]},
        {"Choices": [{keys.typed(group): f"reference/choices/{group}.md"} for group in _groups()]},
        *reference["Reference"],
        {"API": [f"reference/api/{_slug(title)}.md" for title in API]},
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and files of the repository that pages link to."""
    from mkdocs.structure.files import File

    written = pages()
    for path, text in written.items():
        files.append(File.generated(config, path, content=text))
    texts = {_source(page): text for page, text in written.items()}
    texts |= {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for page, text in texts.items():
        for _, path in linked_files(text, page):
            name = str(path.relative_to(ROOT))
            uri = f"{FILES}/{name}"
            if name not in ROOT_PAGES and files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Let links lead where their targets are on the site."""
    del config, files
    uri = page.file.src_uri
    return with_site_links(markdown, _source(uri), uri)


def main() -> None:
    """Write all pages into the folder that is named."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for path, text in pages().items():
        file = Path(sys.argv[1]) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(with_site_links(text, _source(path), path), encoding="utf-8")


if __name__ == "__main__":
    main()
