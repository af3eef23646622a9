"""XNLI of FLUE (Le et al., 2020): inference. A line of a file:

Il a dit : maman, je suis là.	Il est rentré.	neutral
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import LabelledText
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import Published, all_labelled, hub_pairs, pair, table
from bertinchamps.tasks.readers.releases import Release


@readers.register("xnli")
class Xnli(Published):
    """French XNLI (Conneau et al., 2018): entailment, neutral or contradiction. Train is machine-translated.

    Args:
        path: a folder that holds the two official archives, or that they were unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, such as facebook/xnli.
    """

    release = Release(
        name="XNLI",
        address="https://github.com/facebookresearch/XNLI",
        archives=("XNLI-1.0.zip", "XNLI-MT-1.0.zip"),
        hub="facebook/xnli",
    )
    patterns = ("multinli.train.fr.tsv", "xnli.dev.tsv", "xnli.test.tsv")
    official: ClassVar[Mapping[str, int]] = {"train": 392_702, "dev": 2_490, "test": 5_010}
    labels = ("contradiction", "entailment", "neutral")

    def read(self) -> dict[str, list[LabelledText]]:
        """The pairs of premise and hypothesis of each split."""
        if self._hub:
            columns = ("premise", "hypothesis", "label")
            rows_of = self._hub.read(columns)
            return self._compared(
                {split: all_labelled(split, hub_pairs(rows, columns)) for split, rows in rows_of.items()}
            )
        files = self._files()
        train = [
            # the translated file spells this label differently from XNLI-1.0
            pair(
                where,
                row["premise"],
                row["hypo"],
                row["label"].replace("contradictory", "contradiction"),
                self.labels,
            )
            for where, row in table(files[self.patterns[0]], ("premise", "hypo", "label"))
        ]
        annotated = {split: self._annotated(files[f"xnli.{split}.tsv"]) for split in ("dev", "test")}
        return self._compared({"train": train, **annotated})

    def _annotated(self, files: dict[PurePosixPath, bytes]) -> list[LabelledText]:
        """The French rows of a file of fifteen languages."""
        return [
            pair(where, row["sentence1"], row["sentence2"], row["gold_label"], self.labels)
            for where, row in table(files, ("language", "gold_label", "sentence1", "sentence2"))
            if row["language"] == "fr"
        ]
