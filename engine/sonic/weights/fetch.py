"""Bring the released files here: what is still to come, how large it is, under which terms, and then the files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx2 import HTTPError
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from engine.errors import HubError, InputError
from engine.sonic.weights.layout import NEEDED, ORIGINS, Origin, WeightFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Download:
    """A file that is still to come, and its size in bytes as the hub says."""

    file: WeightFile
    size: int


def outstanding(folder: Path) -> list[Download]:
    """What `folder` lacks: files that are not there, or not of the size that the hub says.

    Raises HubError where the hub cannot be reached, refuses, or has no such file.
    """
    wanted = [Download(file, _size_there(file)) for file in NEEDED]
    return [download for download in wanted if _size_here(folder / download.file.path) != download.size]


def licences_of(downloads: Iterable[Download]) -> list[Origin]:
    """The origins whose terms must be accepted before these files may be fetched."""
    present = {download.file.origin for download in downloads}
    return [origin for origin in ORIGINS if origin.must_be_accepted and origin in present]


def page_of(origin: Origin) -> str:
    """Where a repository can be looked at."""
    return f"{constants.ENDPOINT}/{origin.repo}"


def require_room(folder: Path, downloads: Iterable[Download]) -> None:
    """Raise InputError where the disk cannot hold what is to come."""
    needed = sum(download.size for download in downloads)
    nearest = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    facts = os.statvfs(nearest)
    free = facts.f_bavail * facts.f_frsize
    if free < needed:
        raise InputError(f"the disk of {folder} has {free / 1e9:.1f} GB free, wanted {needed / 1e9:.1f} GB")


def fetch(download: Download, folder: Path) -> None:
    """Fetch one file, going on where an interrupted fetch left it; huggingface_hub shows how far it is.

    Raises HubError as `outstanding` does.
    """
    file = download.file
    with _hub_errors(file.origin):
        hf_hub_download(file.origin.repo, file.remote, local_dir=folder / file.path.removesuffix(file.remote))


def _size_there(file: WeightFile) -> int:
    with _hub_errors(file.origin):  # asked file by file, for only so does a hub say whether it would give them
        size = get_hf_file_metadata(hf_hub_url(file.origin.repo, file.remote)).size
    if size is None:
        raise HubError(f"{page_of(file.origin)} does not say how large {file.remote} is")
    return size


def _size_here(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@contextmanager
def _hub_errors(origin: Origin) -> Iterator[None]:
    """Say in plain words what keeps the hub from giving a file, and what would help."""
    page = page_of(origin)
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"{page} asks who you are: accept its terms there, then run `hf auth login` or set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):  # what huggingface_hub says when it gets no answer
            raise HubError(f"{page} cannot be reached: check the network, HF_ENDPOINT and proxies") from error
        raise HubError(f"{page} is not there, or not for you: {str(error).strip().splitlines()[0]}") from error
    except OfflineModeIsEnabled as error:
        raise HubError(f"{page} may not be asked: HF_HUB_OFFLINE is set in the environment") from error
    except HfHubHTTPError as error:
        raise HubError(f"{page} refuses: {str(error).strip().splitlines()[0]}") from error
    except (HTTPError, OSError) as error:
        raise HubError(f"{page} cannot be reached ({error}): check the network, HF_ENDPOINT and proxies") from error
