"""A fine-tuned model on disk, opened: whole, or as an adapter over its base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertinchamps.errors import UserError
from bertinchamps.model.adapters import Adapter, adapters
from bertinchamps.model.adapters.bases import (
    FILE,
    BaseRecord,
    SharedBases,
    encoder_of,
    fingerprint_of,
    read_record,
)
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel

Build = Callable[[EncoderSource], DownstreamModel]


def open_saved(
    folder: Path,
    build: Build,
    base: str | None = None,
    dropout: float | None = None,
    shared: SharedBases | None = None,
) -> tuple[DownstreamModel, Adapter]:
    """Open the model that an adapter saved, and the adapter, which is `none` for a whole model.

    Args:
        folder: of the model.
        build: an encoder with the head of the task.
        base: a directory or a name on the Hub of the base; None: as the adapter remembers it.
        dropout: one rate for all dropouts; None: as in the config.
        shared: bases in memory, which models of the same base share.

    Raises:
        UserError: the model or its base cannot be read, or the base is another one than the adapter was trained on.
    """
    if not is_adapter(folder):
        whole = build(EncoderSource(str(folder), dropout=dropout, with_head=True))
        return whole, adapters.build("none")
    record = read_record(folder)
    adapter = adapters.build(**record.adapter)
    if problem := adapter.missing():
        raise UserError(problem)
    found = base_of(record, folder, base)
    model = build(EncoderSource(found, dropout=dropout))
    _refuse_another(record, folder, found, fingerprint_of(encoder_of(model)))
    adapter.attach(model, found)
    adapter.load(model, folder)
    if shared is not None:
        shared.share(record.fingerprint, encoder_of(model))
    return model, adapter


def is_adapter(folder: Path) -> bool:
    """Whether a directory holds an adapter, whose base lies elsewhere."""
    return (folder / FILE).is_file()


def base_if_moved(folder: Path, base: str | None) -> str | None:
    """`base`, for an adapter whose base is not in the directory where it was; None for other models.

    Args:
        folder: of a model that is opened beside the one whose base the user named.
        base: what the user named.
    """
    if base is None or not is_adapter(folder) or _directory_of(read_record(folder).base) is not None:
        return None
    return base


def _directory_of(name: str) -> str | None:
    """The directory of an encoder, given as that directory or as its run's; None: no encoder is there."""
    for candidate in (Path(name).expanduser(), Path(name).expanduser() / "model"):
        if (candidate / "config.json").is_file():
            return str(candidate)
    return None


def base_of(record: BaseRecord, folder: Path, given: str | None) -> str:
    """The directory, or the name on the Hub, of an adapter's base.

    Args:
        record: of the adapter.
        folder: of the adapter.
        given: a directory, a run, or a name on the Hub; None: as the adapter remembers it.

    Raises:
        UserError: there is no encoder.
    """
    name = given or record.base
    if (found := _directory_of(name)) is not None:
        return found
    if given is None and not Path(name).is_absolute():
        return name  # on the Hub, or in its cache
    if (
        given is not None
        and not Path(given).expanduser().exists()
        and given.count("/") <= 1
        and given[0] not in "./~"
    ):
        return given
    way = "there is none; give base=DIR" if given is None else "name the directory of the base"
    raise UserError(
        f"{folder}: is an adapter for the encoder {record.base}. No encoder in {name} (no config.json): {way}"
    )


def _refuse_another(record: BaseRecord, folder: Path, found: str, fingerprint: str) -> None:
    if fingerprint != record.fingerprint:
        raise UserError(
            f"{folder}: this adapter was trained on {record.base}, whose encoder has the fingerprint "
            f"{record.fingerprint}; the encoder in {found} has {fingerprint}, so it is another one, and the adapter "
            "would give other predictions. Give base=DIR with the encoder that it was trained on"
        )
