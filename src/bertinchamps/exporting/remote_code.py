"""Our modelling code as two files beside the weights, which need torch and transformers alone.

    configuration_bertinchamps.py modeling_bertinchamps.py

The files are taken out of the sources of this package, definition by definition: the classes that are asked for, and
what they use. So they cannot differ from the sources. Definitions keep their comments and their order; imports of the
package itself fall away.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "bertinchamps"
CONFIGURATION, MODELING = "configuration_bertinchamps", "modeling_bertinchamps"
# Definitions whose place others take, which need none of the house.
STAND_INS = {("bertinchamps.registry", "Registry"): ("bertinchamps.exporting.remote_prelude", "Registry")}
FOR_CHECKERS = re.compile(r"  # (?:type: ignore|noqa)[^\n]*")
HEADER = '''"""{title}

Taken out of the sources of bertinchamps {version} by `python -m bertinchamps.export format.remote_code=true`.
Apache-2.0.
"""

from __future__ import annotations
'''

Definition = tuple[str, str]  # module, name


@dataclass(frozen=True)
class Source:
    """A module of this package.

    Attributes:
        lines: of its file.
        definitions: what stands on its top level: name → the statements, a docstring behind an assignment included.
        entries: name of a registry → names of its entries in this module.
        imports: name in the module → module, and the name there; None: the module itself.
    """

    lines: list[str]
    definitions: Mapping[str, list[ast.stmt]]
    entries: Mapping[str, list[str]]
    imports: Mapping[str, tuple[str, str | None]]

    def text(self, name: str) -> str:
        """A definition with its decorators and the comment above it."""
        first, *_, last = [*(nodes := self.definitions[name]), nodes[-1]]
        decorators = getattr(first, "decorator_list", [])
        begin = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        while begin and self.lines[begin - 1].startswith("#"):
            begin -= 1
        return FOR_CHECKERS.sub("", "\n".join(self.lines[begin : last.end_lineno]))


@cache
def _source(module: str) -> Source:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"{module}: no such module")
    text = Path(spec.origin).read_text(encoding="utf-8")
    definitions: dict[str, list[ast.stmt]] = {}
    entries: dict[str, list[str]] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    last = ""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            imports |= {name.asname or name.name.split(".")[0]: (name.name, None) for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imports |= {name.asname or name.name: (str(node.module), name.name) for name in node.names}
        elif isinstance(node, ast.Expr) and last:
            definitions[last].append(node)  # what describes an assignment
            last = ""
        else:
            names = _names_of(node)
            definitions |= {name: [node] for name in names}
            last = names[0] if len(names) == 1 and isinstance(node, ast.Assign | ast.AnnAssign) else ""
            for registry in _registries_of(node):
                entries.setdefault(registry, []).extend(names)
    return Source(text.splitlines(), definitions, entries, imports)


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [
        each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)
    ]


def _registries_of(node: ast.stmt) -> list[str]:
    """The registries whose `register` decorates a definition."""
    called = [each.func for each in getattr(node, "decorator_list", []) if isinstance(each, ast.Call)]
    return [
        each.value.id
        for each in called
        if isinstance(each, ast.Attribute) and each.attr == "register" and isinstance(each.value, ast.Name)
    ]


class Taking:
    """The definitions of one file.

    Args:
        elsewhere: definitions of another file, which this one imports.
    """

    def __init__(self, elsewhere: Iterable[Definition] = ()) -> None:
        self._elsewhere = set(elsewhere)
        self.taken: dict[
            str, set[str]
        ] = {}  # module → names, the modules in the order in which they need each other
        self.imported: set[Definition] = set()  # of the other file
        self.libraries: dict[str, tuple[str, str | None]] = {}

    def take(self, module: str, name: str) -> None:
        """Take a definition and what it uses."""
        module, name = STAND_INS.get((module, name), (module, name))
        if (module, name) in self._elsewhere:
            self.imported.add((module, name))
            return
        source = _source(module)
        if name in self.taken.get(module, ()):
            return
        if name not in source.definitions:
            self._take_imported(module, name)
            return
        self._begin(module)
        self.taken[module].add(name)
        for node in source.definitions[name]:
            for used in ast.walk(node):
                if isinstance(used, ast.Name) and used.id != name:
                    self._use(module, used.id)
        for entry in source.entries.get(name, ()):
            self.take(module, entry)

    def _use(self, module: str, name: str) -> None:
        source = _source(module)
        if name in source.definitions:
            self.take(module, name)
        elif name in source.imports:
            self._take_imported(module, name)

    def _take_imported(self, module: str, name: str) -> None:
        origin, there = _source(module).imports[name]
        if origin.split(".")[0] == PACKAGE:
            if there is None:
                raise ValueError(f"{module}: imports the module {origin}, not what it uses of it")
            self.take(origin, there)
        elif self.libraries.setdefault(name, (origin, there)) != (origin, there):
            raise ValueError(f"{module}: {name} is another thing in another module")

    def _begin(self, module: str) -> None:
        """Give a module its place, behind those that it imports."""
        if module in self.taken:
            return
        for origin, there in _source(module).imports.values():
            if origin.startswith(f"{PACKAGE}.") and there is not None:
                self._begin(STAND_INS.get((origin, there), (origin, there))[0])
        self.taken[module] = set()

    def definitions(self) -> set[Definition]:
        """What was taken, or imported from the other file."""
        return {(module, name) for module, names in self.taken.items() for name in names}

    def text(self, title: str, version: str, file: str = "", end: str = "") -> str:
        """The file.

        Args:
            title: a sentence.
            version: of this package.
            file: that has the definitions of elsewhere.
            end: code behind all definitions.

        Raises:
            ValueError: two definitions have one name, or an import of the package is left.
        """
        seen: dict[str, str] = {}
        parts = []
        for module, names in self.taken.items():
            source, nodes = _source(module), _source(module).definitions
            for name in sorted(names, key=lambda each: nodes[each][0].lineno):
                if seen.setdefault(name, module) != module:
                    raise ValueError(
                        f"{name} is a definition of {seen[name]} and of {module}; rename one of them"
                    )
                text = source.text(name)
                parts.append(text if text not in parts else "")
        imports = [HEADER.format(title=title, version=version), *self._imports()]
        if self.imported:
            imports += ["", f"from .{file} import {', '.join(sorted(name for _, name in self.imported))}"]
        whole = "\n".join(imports) + "\n\n\n" + "\n\n\n".join(part for part in [*parts, end] if part) + "\n"
        if re.search(rf"^\s*(?:from|import) {PACKAGE}\b", whole, re.MULTILINE):
            raise ValueError("an import of the package is left inside a definition")
        return whole

    def _imports(self) -> list[str]:
        plain: set[str] = set()
        named: dict[str, set[str]] = {}
        for name, (origin, there) in self.libraries.items():
            if there is None:
                alias = "" if name == origin.split(".")[0] else f" as {name}"
                plain.add(f"import {origin}{alias}")
            elif origin != "__future__":
                alias = "" if name == there else f" as {name}"
                named.setdefault(origin, set()).add(f"{there}{alias}")
        return [
            *sorted(plain),
            *(f"from {origin} import {', '.join(sorted(names))}" for origin, names in sorted(named.items())),
        ]


def files(configurations: Iterable[Definition], models: Iterable[Definition], version: str) -> dict[str, str]:
    """The text of both files, by name.

    Args:
        configurations: classes of configurations: module, name.
        models: classes of models.
        version: of this package.
    """
    first = Taking()
    for module, name in configurations:
        first.take(module, name)
    second = Taking(first.definitions())
    for module, name in [*models, LAYERS]:
        second.take(module, name)
    called = f"{LAYERS[1]}()"
    return {
        f"{CONFIGURATION}.py": first.text("The configuration of a BERTinchamps model.", version),
        f"{MODELING}.py": second.text("A BERTinchamps model.", version, CONFIGURATION, called),
    }


# Gives layers the base class that transformers looks for; to be called when all is defined.
LAYERS = ("bertinchamps.model.layers", "register")
