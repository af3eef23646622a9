"""Webis-CLS-10, the CLS of FLUE (Le et al., 2020): opinions on books, films and music. An item of a file:

<item><category>livres</category><rating>4.0</rating><url>…</url><text>Un <b>grand</b> livre.</text>
<title>…</title><summary>Bravo</summary></item>
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import Published, all_labelled, decoded, hub_label
from bertinchamps.tasks.readers.releases import Release

CATEGORIES = ("books", "dvd", "music")
FIELDS = "category|rating|url|text|title|summary"
ITEM = re.compile(r"<item>(.*?)</item>\s*(?=<item>|</items>|\Z)", re.DOTALL)
# A field ends only before another field or the end of the item, because the text of a field may hold markup.
FIELD = re.compile(rf"\s*<({FIELDS})>(.*?)</\1>(?=\s*(?:<(?:{FIELDS})>|\Z))", re.DOTALL)


@readers.register("cls")
class Cls(Published):
    """French Webis-CLS-10 (Prettenhofer and Stein, 2010): whether a review is positive (above 3 of 5) or negative.

    The categories books, dvd and music are one data set, as in BERTinchamps, and the text of the review alone is
    read, markup included. There is no dev split.

    Args:
        path: the official archive, a folder that holds it, or a folder that it was unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, with a configuration `CLS` and columns `text` and
            `label` (negative, positive), as in FLUE. FLUE's own entry is a loading script, which the library
            `datasets` no longer runs.
    """

    release = Release(
        name="Webis-CLS-10",
        address="https://zenodo.org/records/3251672 (cls-acl10-unprocessed.tar.gz; ask for access there)",
        archives=("cls-acl10-unprocessed.tar.gz",),
    )
    patterns = tuple(
        f"fr/{category}/{split}.review" for split in ("train", "test") for category in CATEGORIES
    )
    official: ClassVar[Mapping[str, int]] = {"train": 6_000, "test": 6_000}
    configuration = "CLS"

    def read(self) -> dict[str, list[LabelledText]]:
        """The reviews of each split, category by category."""
        if self._hub:
            rows_of = self._hub.read(("text", "label"))
            return self._compared(
                {
                    split: all_labelled(
                        split,
                        [
                            LabelledText(f"row {number}", row["text"] or "", None, hub_label(row["label"]))
                            for number, row in enumerate(rows, start=1)
                        ],
                    )
                    for split, rows in rows_of.items()
                }
            )
        files = self._files()
        return self._compared(
            {
                split: [
                    review
                    for category in CATEGORIES
                    for path, content in files[f"fr/{category}/{split}.review"].items()
                    for review in _reviews(path, decoded(path, content))
                ]
                for split in ("train", "test")
            }
        )


def _reviews(path: PurePosixPath, content: str) -> Iterator[LabelledText]:
    """The items, whatever the order of their fields."""
    items = list(ITEM.finditer(content))
    if len(items) != len(re.findall(r"(?:^|<items>)\s*<item>", content, re.MULTILINE)) or not items:
        raise UserError(f"{path}: an item is not closed by </item>, or there is none; get the file again")
    for number, item in enumerate(items, start=1):
        where = f"{path}: item {number}"
        fields = {match[1]: match[2] for match in FIELD.finditer(item[1])}
        if "text" not in fields or "rating" not in fields:
            raise UserError(f"{where}: no <text> or no <rating>; get the file again")
        rating = _rating(fields["rating"])
        if not 1 <= rating <= 5 or rating == 3:
            raise UserError(
                f"{where}: a rating must be a number from 1 to 5 other than 3; get the file again"
            )
        name = f"{path.parent.name}/{path.name}, item {number}"
        yield LabelledText(name, fields["text"], None, ("positive" if rating > 3 else "negative",))


def _rating(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
