"""Elements of an XMI file as WebAnno writes it."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

BEGIN = (
    '<?xml version="1.0" encoding="UTF-8"?><xmi:XMI xmlns:xmi="http://www.omg.org/XMI" '
    'xmlns:cas="http:///uima/cas.ecore" xmlns:custom="http:///webanno/custom.ecore" xmi:version="2.0">\n'
)
LINE_END = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


def sofa(text: str, number: int = 12) -> str:
    return (
        f'<cas:Sofa xmi:id="{number}" sofaNum="1" sofaID="_InitialView" mimeType="text" '
        f"sofaString={quoteattr(text, LINE_END)}/>\n"
    )


def annotation(begin: object, end: object, label: str = "CLINENTITY", text: int = 12) -> str:
    return f'<custom:{label} xmi:id="7" sofa="{text}" begin="{begin}" end="{end}" entityID="C1"/>\n'
