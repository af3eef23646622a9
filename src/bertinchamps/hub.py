"""What an error of the Hugging Face Hub means for the user: one ladder for corpora, datasets of tasks, and models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bertinchamps.errors import UserError

NO_NAME = "is not a name of the form owner/name"
OWN_CODE = (
    "brings code of its own (auto_map), which is never run here; choose one of a class that transformers has"
)


def page_of(repository: str, kind: str = "datasets/") -> str:
    """The page of a repository on the Hub that is asked; `kind` is empty for a model."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{kind}{repository}"


@contextmanager
def reporting(key: str, repository: str, refusal: Callable[[str], UserError]) -> Iterator[None]:
    """Report to the user what an error of the Hub, or of the network, means.

    Args:
        key: the user's setting that names the dataset.
        repository: owner/name of the dataset.
        refusal: makes the message of a predicate, such as "is gated: …", whose subject is the dataset.

    Raises:
        UserError: instead of the library's error. Errors that have another cause stay what they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = meaning(error, page_of(repository))
        if found == NO_NAME:
            raise UserError(f"{key}={repository}: {NO_NAME.removeprefix('is ')}") from error
        if found is None and isinstance(error, OSError):
            found = f"cannot be read ({error.strerror or type(error).__name__})"
        if found is None:
            raise
        raise refusal(found) from error


@contextmanager
def writing(key: str, repository: str) -> Iterator[None]:
    """Report to the user why a hub does not take a model.

    Args:
        key: the user's setting that names the repository.
        repository: owner/name of the repository.

    Raises:
        UserError: instead of the library's error. Errors that have another cause stay what they are.
    """
    from huggingface_hub import constants, errors

    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for link in _chain(error):
            if isinstance(link, errors.HfHubHTTPError) and link.response.status_code in (401, 403):
                raise UserError(
                    f"{key}={repository}: {constants.ENDPOINT} refused the token ({link.response.status_code}): it "
                    "must be allowed to write there; run: hf auth login, with a token of the role write"
                ) from error
        found = meaning(error, page_of(repository, kind=""), "cannot be written")
        if found is None:
            raise
        raise UserError(f"{key}={repository}: {found}") from error


def brings_code(error: BaseException) -> bool:
    """Whether transformers has no class for a model or a tokenizer that brings one of its own."""
    return isinstance(error, ValueError) and "custom code" in str(error)


def meaning(error: BaseException, page: str, failed: str = "cannot be read") -> str | None:
    """A predicate whose subject is the repository, such as "is gated: …"; None where the Hub is not the reason.

    Args:
        error: raised by huggingface_hub, or by a library that called it and gives its error as the cause.
        page: of the repository.
        failed: what could not be done with the repository.
    """
    import httpx
    from huggingface_hub import constants, errors

    hub, chain = constants.ENDPOINT, list(_chain(error))
    for kind, message in (
        (errors.HFValidationError, NO_NAME),
        (errors.GatedRepoError, f"is gated: accept its terms at {page}, then run: hf auth login"),
        (errors.RepositoryNotFoundError, f"was not found on {hub}, or is private"),
        (errors.OfflineModeIsEnabled, f"{failed}: HF_HUB_OFFLINE is set, so the Hub is not asked"),
    ):
        if any(isinstance(link, kind) for link in chain):
            return message
    for link in chain:
        if isinstance(link, errors.HfHubHTTPError) and not isinstance(link, errors.EntryNotFoundError):
            return f"{failed}: {hub} answered {link.response.status_code}"
    for link in chain:
        if isinstance(link, httpx.HTTPError | ConnectionError | TimeoutError):
            return f"{failed}: {hub} did not answer ({type(link).__name__})"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what its raiser says caused it; never what was only being handled at the time."""
    while error is not None:
        yield error
        error = error.__cause__
