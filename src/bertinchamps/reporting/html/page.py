"""Writes report.html into the directory of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps.console import Tell
from bertinchamps.durable import write_file
from bertinchamps.pages import render
from bertinchamps.reporting.html.run import values_of

if TYPE_CHECKING:
    from markupsafe import Markup

FILE = "report.html"


def write_run_page(run: Path, tell: Tell, show_text: bool = False) -> None:
    """Write the page of a finished run. A page that cannot be written costs nobody a finished run: it is told.

    Args:
        run: its directory.
        tell: prints a line.
        show_text: with texts of dev and test, gold beside predicted, as far as the run kept them.
    """
    try:
        write_page(run / FILE, "reporting/html/run.html.jinja", values_of(run, show_text), private=show_text)
    except Exception as error:  # whatever it is: the run is finished
        tell(f"note       no {FILE} could be written ({type(error).__name__}); the run itself is whole")


def page_lines(run: Path) -> list[str]:
    """The line that says where the page of a run is; none without a page."""
    return [f"report     {run / FILE}"] if (run / FILE).is_file() else []


def write_page(file: Path, template: str, values: dict[str, Any], private: bool = False) -> None:
    """Fill a template and write the page.

    Args:
        file: its path.
        template: path of the template below the package.
        values: of the template; `data` is what the charts draw.
        private: True: readable by its owner alone.
    """
    write_file(file, render(template, **{**values, "data": as_script(values["data"])}))
    if private:
        file.chmod(0o600)


def as_script(data: Any) -> Markup:
    """Data as JSON inside of a <script>, which no text in it can close."""
    from markupsafe import Markup

    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
