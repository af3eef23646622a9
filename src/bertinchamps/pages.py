"""Pages from jinja2 templates. A template (`NAME.md.jinja`, `NAME.html.jinja`) stands beside the code that fills it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def template(name: str, package: str = "bertinchamps") -> Template:
    """A template in which every value is escaped as HTML, unless it is `Markup`.

    Args:
        name: path of the file below the package, such as "reporting/report.md.jinja".
        package: name of the package that holds the file.
    """
    return _environment(package).get_template(name)


def render(name: str, package: str = "bertinchamps", /, **values: Any) -> str:
    """The page that a `template` gives for these values."""
    return template(name, package).render(values)


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
