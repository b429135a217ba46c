"""Files of tensors that are whole or do not count: their names hold their own checksum.

``cohorts/ID/NUMBER-CHECKSUM.safetensors`` are the checkpoints of a cohort's training, numbered over
all cohorts, and ``cohorts/ID/paused/`` holds its candidates that wait for their rung. Folders of
before there were jobs have the same below ``checkpoints/``, and are read like one cohort more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bakeoff.files import PART, check_held, disk_errors, new_file, sha256_of
from bakeoff.methods.contract import Tensors

COHORTS: Final = "cohorts"
OLDER: Final = "checkpoints"
PAUSED: Final = "paused"
SUFFIX: Final = ".safetensors"
_FIRST: Final = "train-0"
_NUMBERED: Final = f"??????-*{SUFFIX}"
_META: Final = "bakeoff"
_CHECKSUM: Final = 16


class StateFiles:
    """Where the cohorts of a run keep what resuming needs.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cohort = _FIRST

    @property
    def path(self) -> Path:
        """The folder of the cohort that trains."""
        return self._folder / COHORTS / self._cohort

    def enter(self, cohort: str) -> None:
        """From here on another cohort trains."""
        self._cohort = cohort

    def checkpoints(self) -> list[Path]:
        """Those of all cohorts, in the order in which they were written."""
        found = (self._folder / COHORTS).glob(f"*/{_NUMBERED}")
        older = (self._folder / OLDER).glob(_NUMBERED)
        return sorted((*found, *older), key=lambda file: file.name)

    def paused(self, prefix: str = "") -> list[Path]:
        """The states of candidates that are out of memory, whose names begin so."""
        found = (self._folder / COHORTS).glob(f"*/{PAUSED}/{prefix}*{SUFFIX}")
        older = (self._folder / OLDER / PAUSED).glob(f"{prefix}*{SUFFIX}")
        return sorted((*found, *older), key=lambda file: file.name)

    def shown(self, file: Path) -> str:
        """A file's place below the run's folder."""
        return file.relative_to(self._folder).as_posix()

    def tidy(self) -> None:
        """Removes the folders of other cohorts that hold nothing any more."""
        for place in (*(self._folder / COHORTS).glob("*"), self._folder / OLDER):
            if place != self.path:
                with suppress(OSError):
                    (place / PAUSED).rmdir()
                with suppress(OSError):
                    place.rmdir()

    def clear(self) -> None:
        """Removes all of them: the study is complete."""
        for name in (COHORTS, OLDER):
            shutil.rmtree(self._folder / name, ignore_errors=True)


def write_state(
    folder: Path, prefix: str, tensors: Mapping[str, Any], content: Mapping[str, Any]
) -> Path:
    """Writes tensors and JSON beside their place, synced and renamed.

    Args:
        folder: made where it is missing. prefix: of the file's name; its checksum follows.

    Raises:
        StoreError: if it cannot be written; what was there before stays.
    """
    with disk_errors(folder):
        check_held(folder)
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{prefix}{PART}"
        try:
            try:
                save_file(dict(tensors), draft, metadata={_META: json.dumps(content)})
            except SafetensorError as error:
                raise OSError(str(error)) from error
            # Its name holds its checksum, so that it is known only once it is written.
            target = folder / f"{prefix}{sha256_of(draft)[:_CHECKSUM]}{SUFFIX}"
            with new_file(target) as beside:
                draft.replace(beside)
            return target
        finally:
            draft.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Whether a file's content is that which its name says."""
    try:
        return path.name.endswith(f"-{sha256_of(path)[:_CHECKSUM]}{SUFFIX}")
    except OSError:
        return False


def read_state(path: Path) -> tuple[dict[str, Any], Tensors] | None:
    """A file's JSON and tensors, or None where it is not whole."""
    try:
        if not is_whole(path):
            return None
        with safe_open(path, framework="pt") as stored:
            content = json.loads((stored.metadata() or {})[_META])
            # Copies: the library maps the file, which may be removed while they are in use.
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118
        return content, tensors
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
