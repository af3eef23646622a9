"""The page at /: one file, with nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@cache
def page() -> str:
    """The page, as HTML."""
    return Path(__file__).with_name("page.html").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """What the page may load: its own style and script, by their digests, and answers of this service."""
    digests: dict[str, str] = {}
    for kind, text in INLINE.findall(page()):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        digests[kind] = f"'sha256-{digest}'"
    return (
        f"default-src 'none'; style-src {digests['style']}; script-src {digests['script']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
