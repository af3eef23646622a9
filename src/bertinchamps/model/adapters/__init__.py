"""Adapters, one file each: what of an encoder is trained (`adapter=`), with its save, load and merge.

    adapters.build("none")             the whole encoder is trained, and saved
    adapters.build("lora", rank=8)     the encoder is frozen; small maps beside its own are trained, with the head

An adapter is attached to one model. `saved.open_saved` opens what it saved.
"""

from __future__ import annotations

from pathlib import Path

from bertinchamps.model.heads import DownstreamModel
from bertinchamps.registry import Registry


class Adapter:
    """What is trained of a model, and what is stored of it; this class: all of it.

    Attributes:
        trains_encoder: True: the encoder's own weights are trained.
        trains_matrices: True: linear maps inside the layers are trained, which is what Muon needs.
        extra_tokens: positions of the encoder that the adapter takes.
        not_merged: why the adapter cannot become a part of the encoder's weights; None: it can.
    """

    trains_encoder = True
    trains_matrices = True
    extra_tokens = 0
    not_merged: str | None = None

    def missing(self) -> str | None:
        """Why the adapter cannot be used here, such as a library that is not installed; None: it can."""
        return None

    def attach(self, model: DownstreamModel, base: str) -> None:
        """Change a model in place, so that what is to be trained requires gradients, and nothing else.

        Args:
            model: an encoder with a new head.
            base: the directory, or the name on the Hub, of the encoder.

        Raises:
            UserError: the adapter finds nothing in the encoder that it could adapt.
        """

    def describe(self) -> str | None:
        """What is adapted, in words; None for no adapter."""
        return None

    def save(self, model: DownstreamModel, folder: Path) -> None:
        """Write what is trained into a folder that exists."""
        model.save(folder)

    def load(self, model: DownstreamModel, folder: Path) -> None:
        """Read what `save` wrote into a model that the adapter is attached to, strictly.

        Raises:
            UserError: the files are damaged, or of another model.
        """

    def merge(self, model: DownstreamModel) -> None:
        """Make the adapter a part of the encoder's weights; the model is a plain one from then on."""


adapters: Registry[Adapter] = Registry("adapter", "adapter", package="bertinchamps.model.adapters")
