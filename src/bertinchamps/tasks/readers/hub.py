"""Datasets of the Hugging Face Hub, read only where a user names one (`task.hub=OWNER/NAME`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bertinchamps import hub
from bertinchamps.errors import UserError

SPLIT_NAMES = {"train": "train", "validation": "dev", "test": "test"}

Row = dict[str, Any]


class HubDataset:
    """One configuration of a dataset without a loading script, stored as Parquet or in another plain format.

    Args:
        repository: owner/name.
        configuration: such as "fr".
        address: the data's official source, for messages.
    """

    def __init__(self, repository: str, configuration: str, address: str) -> None:
        self.repository, self._configuration, self._address = repository, configuration, address

    def check(self) -> None:
        """Ask the Hub whether the dataset may be read.

        Raises:
            UserError: the Hub cannot be reached, or the dataset does not exist or is gated.
        """
        from huggingface_hub import HfApi

        api: Any = HfApi()
        with self._user_errors():
            api.dataset_info(self.repository, timeout=10)
            api.auth_check(self.repository, repo_type="dataset")

    def read(self, columns: Sequence[str]) -> dict[str, list[Row]]:
        """The rows of each split ("validation" is called "dev"), with class labels by name, not by number.

        Args:
            columns: the columns to read.

        Raises:
            UserError: see `check`; or the dataset lacks a column, the configuration, or a split train or test.
        """
        from datasets import load_dataset

        self.check()
        with self._user_errors():
            dataset = load_dataset(self.repository, self._configuration)
        if not {"train", "test"} <= set(dataset):
            raise self._error(f"has the splits {', '.join(dataset)}; needed are train and test")
        lacking = sorted(
            {column for column in columns for split in dataset.values() if column not in split.features}
        )
        if lacking:
            raise self._error(f"has no column {', '.join(lacking)}")
        return {
            SPLIT_NAMES[split]: _named(dataset[split].select_columns(list(columns)))
            for split in SPLIT_NAMES
            if split in dataset
        }

    @contextmanager
    def _user_errors(self) -> Iterator[None]:
        """Raise errors of the Hub and of the library `datasets` as UserError."""
        from datasets.exceptions import DatasetsError

        try:
            with hub.reporting("task.hub", self.repository, self._error):
                yield
        except DatasetsError as error:
            raise self._error(f"cannot be read ({type(error).__name__})") from error
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            raise self._error("is a loading script, which the library `datasets` no longer runs") from error
        except ValueError as error:
            raise self._error(f"has no configuration {self._configuration!r}") from error

    def _error(self, what: str) -> UserError:
        return UserError(
            f"task.hub={self.repository}: the dataset {what}\n"
            f"way out: get the data at {self._address} and name them with task.hub=null task.path=PATH"
        )


def _named(split: Any) -> list[Row]:
    """The rows, with names instead of numbers of class labels; None for a number without a name (-1)."""
    names = {column: _class_names(feature) for column, feature in split.features.items()}
    return [{column: _name(value, names[column]) for column, value in row.items()} for row in split]


def _class_names(feature: Any) -> list[str] | None:
    inner = getattr(feature, "feature", feature)  # of a list of class labels
    return getattr(inner, "names", None)


def _name(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_name(item, names) for item in value]
    return names[value] if 0 <= value < len(names) else None
