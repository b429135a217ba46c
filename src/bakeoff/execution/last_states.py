"""Where candidates that completed could go on, were there more epochs.

``candidates/ID/last-CHECKSUM.safetensors`` is there only where training could go on at all
(``ProtocolOptions.may_go_on``). No result rests on it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import CheckpointError
from bakeoff.execution.states import SUFFIX, is_whole, read_state, write_state
from bakeoff.files import disk_errors
from bakeoff.methods.contract import Tensors

_CANDIDATES: Final = "candidates"
_LAST: Final = "last-"


def keep_last(run: Path, candidate: Candidate) -> None:
    """Writes a candidate's state after its last epoch below the run's folder."""
    folder = run / _CANDIDATES / candidate.id
    before = set(folder.glob(f"{_LAST}*{SUFFIX}"))
    kept = write_state(folder, _LAST, candidate.snapshot or {}, {})
    for stale in before - {kept}:
        stale.unlink(missing_ok=True)


def forget_stale(run: Path, brought: Collection[str]) -> None:
    """Removes what others have taken the place of, which came from elsewhere.

    Args:
        run: the run's folder. brought: files that came, by their names below it.
    """
    new = {run / name for name in brought if Path(name).name.startswith(_LAST)}
    for folder in {file.parent for file in new}:
        for file in folder.glob(f"{_LAST}*{SUFFIX}"):
            if file not in new:
                file.unlink(missing_ok=True)


def last_state(run: Path, candidate: Candidate) -> Tensors:
    """Reads back what ``keep_last`` wrote.

    Raises:
        CheckpointError: if it is not there or not whole.
    """
    folder = run / _CANDIDATES / candidate.id
    for file in sorted(folder.glob(f"{_LAST}*{SUFFIX}")):
        found = read_state(file)
        if found is not None:
            return found[1]
    raise CheckpointError(
        f"{folder}: the state of {candidate.id} after its last epoch is missing or torn; it is "
        "trained from the start"
    )


def forget_torn(run: Path) -> list[str]:
    """Removes those that are not whole any more; says of each what that costs."""
    notes = []
    for file in sorted((run / _CANDIDATES).glob(f"*/{_LAST}*{SUFFIX}")):
        if not is_whole(file):
            with disk_errors(file):
                file.unlink(missing_ok=True)
            notes.append(
                f"{file}: its content changed since it was written, so it was removed; no result "
                f"rests on it, but more epochs would train {file.parent.name} from the start"
            )
    return notes
