"""Bring the released files here: what is still to come, how large it is, under which terms, and then the files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from engine.errors import HubError, InputError
from engine.sonic.weights.layout import NEEDED, ORIGINS, Origin, WeightFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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
    wanted = [Download(file, size) for origin in ORIGINS for file, size in _sizes(origin)]
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


def fetch(folder: Path, downloads: Iterable[Download], on_file: Callable[[Download], None]) -> None:
    """Fetch the files, each going on where an interrupted fetch left it; `on_file` is told before each.

    huggingface_hub shows the progress within a file. Raises HubError as `outstanding` does.
    """
    for download in downloads:
        on_file(download)
        file = download.file
        target = folder / file.path.removesuffix(file.remote)
        with _hub_errors(file.origin):
            hf_hub_download(file.origin.repo, file.remote, local_dir=target)


def _sizes(origin: Origin) -> Iterator[tuple[WeightFile, int]]:
    files = {file.remote: file for file in NEEDED if file.origin is origin}
    with _hub_errors(origin):
        found = HfApi().get_paths_info(origin.repo, list(files))
    sizes = {entry.path: entry.size for entry in found if isinstance(entry, RepoFile)}
    if absent := sorted(set(files) - set(sizes)):
        raise HubError(f"{page_of(origin)} has no {' and no '.join(absent)}")
    return ((files[path], sizes[path]) for path in files)


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
