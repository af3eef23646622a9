"""French OSCAR 23.01 (Abadji et al., 2022), the corpus family of the paper, streamed from the Hub.

A line of its shards: {"content": "Le musée rouvre …", "warc_headers": {…}, "metadata": {…}}
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bertinchamps.contract import Document
from bertinchamps.data.sources import sources
from bertinchamps.errors import UserError

WAYS_OUT = """Ways out:
  your own files   data=files 'data.files=[notes/*.jsonl.zst]'  (also .json, .txt, .csv, .parquet, .gz)
  another source   data=demo  (French that this project generates: a toy, and it needs no network)
  a login          accept the terms at {page}, then run: hf auth login"""


@sources.register("oscar_fr")
class OscarFrench:
    """Streams the shards line by line; nothing is kept on disk, and a bounded buffer in memory.

    Args:
        repository: dataset repository on the Hub.
        pattern: its shards.
        text_field: the key of a line that holds the text.
        max_documents: read no more than so many documents; None for all.
    """

    def __init__(
        self,
        repository: str = "oscar-corpus/OSCAR-2301",
        pattern: str = "fr_meta/*.jsonl.zst",
        text_field: str = "content",
        max_documents: int | None = None,
    ) -> None:
        self._repository, self._pattern = repository, pattern
        self._text_field, self._max_documents = text_field, max_documents
        self._commit: str | None = None

    def check(self) -> None:
        """Ask the Hub whether these files may be read.

        Raises:
            UserError: it cannot be reached, does not know the repository, or the corpus is gated.
        """
        self._commit = self._asked()

    def fingerprint(self) -> Mapping[str, object]:
        """Repository, its commit, and the settings."""
        return {
            "name": "oscar_fr",
            "repository": self._repository,
            "revision": self._revision(),
            "pattern": self._pattern,
            "text_field": self._text_field,
            "max_documents": self._max_documents,
        }

    def documents(self) -> Iterator[Document]:
        """The documents, in the order of the shards.

        Raises:
            UserError: no shard fits the pattern, a line has no text field, or the Hub stops answering.
        """
        for number, line in enumerate(itertools.islice(self._lines(), self._max_documents), start=1):
            yield Document(self._text(line, number), f"{self._repository}:line {number}")

    def held_out(self) -> None:
        """None: a share of the documents is split off."""

    def sample(self, characters: int) -> Iterator[Document]:
        """The first documents; the shards are in no particular order."""
        del characters  # the reader stops where it has enough
        return self.documents()

    def _lines(self) -> Iterator[str]:
        """As text: a JSON reader would stumble over metadata whose type changes between shards."""
        import httpx
        from datasets import load_dataset
        from huggingface_hub.errors import HfHubHTTPError

        files = f"hf://datasets/{self._repository}@{self._revision()}/{self._pattern}"
        nothing = UserError(
            f"data.pattern={self._pattern}: no such files in {self._repository}, or they are empty"
            f" (see {self._page()}/tree/main)"
        )
        some = False
        try:
            for row in load_dataset("text", data_files=files, split="train", streaming=True):
                some = True
                yield row["text"]
        except FileNotFoundError as error:
            raise nothing from error
        except (httpx.HTTPError, HfHubHTTPError, OSError) as error:
            raise self._error(f"could not be read to its end ({type(error).__name__})") from error
        if not some:  # the library takes a pattern that fits no file for an empty corpus
            raise nothing

    def _text(self, line: str, number: int) -> str:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self._repository}, line {number}: not JSON") from error
        text = row.get(self._text_field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            keys = ", ".join(sorted(row)) if isinstance(row, dict) else "none"
            raise UserError(
                f"data.text_field={self._text_field}: {self._repository}, line {number} has no such text"
                f" (keys: {keys})"
            )
        return text.encode(errors="replace").decode()  # JSON can spell half a surrogate pair, UTF-8 cannot

    def _revision(self) -> str:
        """The commit to read: asked for once, so that the fingerprint names what is read."""
        if self._commit is None:
            self._commit = self._asked()
        return self._commit

    def _asked(self) -> str:
        """The commit that the repository's default branch is at."""
        import httpx
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )

        api: Any = HfApi()
        try:
            revision = api.dataset_info(self._repository, timeout=10).sha
            api.auth_check(self._repository, repo_type="dataset")
        except GatedRepoError as error:
            raise self._error(
                "is gated, and you are not logged in with an account that accepted its terms"
            ) from error
        except RepositoryNotFoundError as error:
            raise self._error("was not found on the Hub, or is private") from error
        except HFValidationError as error:
            raise UserError(
                f"data.repository={self._repository}: not a name of the form owner/name"
            ) from error
        except OfflineModeIsEnabled as error:
            raise self._error("cannot be read: HF_HUB_OFFLINE is set, so the Hub is not asked") from error
        except HfHubHTTPError as error:
            raise self._error(
                f"cannot be read: {api.endpoint} answered {error.response.status_code}"
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise self._error(
                f"cannot be read: {api.endpoint} did not answer ({type(error).__name__})"
            ) from error
        return str(revision)

    def _error(self, what: str) -> UserError:
        return UserError(f"the corpus {self._repository} {what}.\n" + WAYS_OUT.format(page=self._page()))

    def _page(self) -> str:
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/datasets/{self._repository}"
