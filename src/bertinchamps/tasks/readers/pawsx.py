"""PAWS-X of FLUE (Le et al., 2020): paraphrases. A line of a file:

1	Le film sort en 1936.	En 1936 , le film sort.	1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import Published, hub_pairs, pair, table
from bertinchamps.tasks.readers.releases import Release

NO_SENTENCE = ("", "NS")  # what PAWS-X has where a sentence was not translated


@readers.register("pawsx")
class PawsX(Published):
    """French PAWS-X (Yang et al., 2019): whether two sentences have the same meaning, "1", or not, "0".

    Every split leaves out pairs with a sentence that is empty or `NS` (not translated), and pairs of the Hub without a
    label. FLUE leaves out pairs of at most five words instead.

    Args:
        path: the official archive, a folder that holds it, or a folder that it was unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, such as google-research-datasets/paws-x.

    Attributes:
        dropped: pairs that `read` left out, by split.
    """

    release = Release(
        name="PAWS-X",
        address="https://storage.googleapis.com/paws/pawsx/x-final.tar.gz",
        archives=("x-final.tar.gz",),
        hub="google-research-datasets/paws-x",
    )
    patterns = ("fr/translated_train.tsv", "fr/dev_2k.tsv", "fr/test_2k.tsv")
    official: ClassVar[Mapping[str, int]] = {"train": 49_401, "dev": 2_000, "test": 2_000}

    def __init__(self, path: str | None = None, hub: str | None = None) -> None:
        super().__init__(path, hub)
        self.dropped: dict[str, int] = {}

    def read(self) -> dict[str, list[LabelledText]]:
        """The pairs of each split, without those that lack a sentence."""
        columns = ("sentence1", "sentence2", "label")
        if self._hub:
            pairs = {split: hub_pairs(rows, columns) for split, rows in self._hub.read(columns).items()}
        else:
            files = self._files()
            pairs = {
                split: [
                    pair(where, row["sentence1"], row["sentence2"], row["label"], ("0", "1"))
                    for where, row in table(files[pattern], columns)
                ]
                for split, pattern in zip(SPLITS, self.patterns, strict=True)
            }
        self._compared(pairs)
        kept = {split: [example for example in each if _is_whole(example)] for split, each in pairs.items()}
        self.dropped = {split: len(pairs[split]) - len(kept[split]) for split in pairs}
        if any(self.dropped.values()):
            counts = ", ".join(f"{split} {count}" for split, count in self.dropped.items())
            self.remarks += (f"pairs without a sentence were left out: {counts}",)
        return kept


def _is_whole(example: LabelledText) -> bool:
    """Whether it has two sentences and a label."""
    return (
        bool(example.target)
        and example.text.strip() not in NO_SENTENCE
        and (example.pair or "").strip() not in NO_SENTENCE
    )
