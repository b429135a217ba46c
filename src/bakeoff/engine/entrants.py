"""Entrants from elsewhere, made ready to be tested beside a study's own candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.base.model import Base
from bakeoff.data.taskdata import TaskData
from bakeoff.methods.contract import Method
from bakeoff.methods.external import ExternalEntry


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A whole model that was trained elsewhere.

    Attributes:
        open: loads it. data: the study's rows in its own tokens; None where its tokenizer is the
            base's, so that likelihoods per token may be compared.
    """

    open: Callable[[], Base]
    data: TaskData | None = None


@dataclass(frozen=True, kw_only=True)
class EntrantRun:
    """One run of an entrant; exactly one of its last three attributes is there.

    Attributes:
        id: as of a candidate. place: its folder or file. sha256: of what is there.
        adapter: its method, with the options that its own files name.
        checkpoint: the whole model. answers: [test rows] in the study's order.
    """

    id: str
    place: Path
    sha256: str
    adapter: Method | None = None
    checkpoint: Checkpoint | None = None
    answers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """An entrant with all its runs.

    Attributes:
        notes: sentences for readers, such as that it is one run.
    """

    entry: ExternalEntry
    runs: tuple[EntrantRun, ...]
    notes: tuple[str, ...] = ()
