"""A base from the Hugging Face hub, or from its cache: brought into a local folder."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.folder import (
    CONFIG_NAME,
    INDEX_NAME,
    WEIGHTS_NAME,
    read_config,
    weight_files,
)
from bakeoff.errors import BaseModelError

_TIMEOUT_SECONDS: Final = 10.0
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TRUE: Final = {"1", "on", "yes", "true"}

# The root's files only: other folders of a repository hold exports for other programs.
_IGNORED: Final = ["*/*"]
_SMALL: Final = ["*.json", "*.txt", "*.jinja", "*.model"]
_CODE: Final = ["*.py"]
_WEIGHTS: Final = [WEIGHTS_NAME, "model-*-of-*.safetensors"]


def is_hub_id(reference: str) -> bool:
    """Whether the reference has the form ``NAME`` or ``ORGANISATION/NAME``."""
    return _HUB_ID.fullmatch(reference) is not None and ".." not in reference


def hub_folder(
    reference: str, *, revision: str | None, trust_remote_code: bool, offline_bases: str
) -> Path:
    """The folder in the hub's cache that holds the model, downloaded if it is not there.

    Args:
        offline_bases: the error's sentence on bases that need no network.

    Raises:
        BaseModelError: it cannot be reached and is not in the cache, or is not a base.
    """
    # Read at every call: the library looks at the environment only when it is imported.
    cache = Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE).expanduser()
    patterns = [*_SMALL, *_WEIGHTS, *(_CODE if trust_remote_code else [])]
    if _is_offline():
        tried = "the hub was not asked, as HF_HUB_OFFLINE is set"
    else:
        try:
            # A request of its own, as those of a download are repeated for minutes.
            with silence_libraries():
                commit = (
                    HfApi().model_info(reference, revision=revision, timeout=_TIMEOUT_SECONDS).sha
                )
        except Exception as error:  # the HTTP library's errors share no base with the hub's
            tried = _said(error, revision)
        else:
            return _download(
                reference, commit or revision, cache, patterns, trust_remote_code=trust_remote_code
            )
    try:
        with silence_libraries():
            return Path(
                snapshot_download(
                    reference,
                    revision=revision,
                    cache_dir=cache,
                    local_files_only=True,
                    allow_patterns=patterns,
                    ignore_patterns=_IGNORED,
                )
            )
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise BaseModelError(
            f"base {reference!r}{at}: cannot be reached. It is not a folder here; the hub's cache "
            f"{cache} does not hold it whole; {tried}. {offline_bases}"
        ) from error


def _download(
    reference: str,
    commit: str | None,
    cache: Path,
    patterns: list[str],
    *,
    trust_remote_code: bool,
) -> Path:
    try:
        with silence_libraries():
            # The small files first: a model that bakeoff refuses costs no download.
            for wanted in ([p for p in patterns if p not in _WEIGHTS], patterns):
                folder = Path(
                    snapshot_download(
                        reference,
                        revision=commit,
                        cache_dir=cache,
                        allow_patterns=wanted,
                        ignore_patterns=_IGNORED,
                    )
                )
                read_config(folder, trust_remote_code=trust_remote_code)
    except BaseModelError:
        raise
    except Exception as error:  # as above
        raise BaseModelError(
            f"base {reference!r}: the download into {cache} broke off ({_said(error, commit)}); "
            "run again to go on where it stopped"
        ) from error
    if not (folder / WEIGHTS_NAME).is_file() and not (folder / INDEX_NAME).is_file():
        raise BaseModelError(
            f"base {reference!r}: its repository has no {WEIGHTS_NAME} and no {INDEX_NAME}, and "
            "bakeoff never reads other weights, which can run code; convert it once with "
            "save_pretrained and name the folder"
        )
    return folder


def hub_fingerprint(folder: Path) -> str:
    """A SHA-256 over the commit and the configuration's and weight files' names and sizes."""
    total = hashlib.sha256(f"commit {folder.name}\n".encode())
    for file in [folder / CONFIG_NAME, *weight_files(folder)]:
        total.update(f"{file.name} {file.stat().st_size}\n".encode())
    return total.hexdigest()


def _is_offline() -> bool:
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return constants.HF_HUB_OFFLINE or any(value.lower() in _TRUE for value in values)


def _said(error: Exception, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return "the hub says that it is gated: accept its terms there and run `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has no revision {revision!r} of it"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or it is private and needs `hf auth login`"
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"the hub did not answer ({reason})"
