"""Training of the candidates of one ground: cohorts, their feeds, and failures kept apart."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.evaluate import EVALUATION_ROWS
from bakeoff.engine.feed import Feed, HiddenFeed, TokenFeed, keep_hidden_states
from bakeoff.engine.memory import is_out_of_memory, release_memory
from bakeoff.engine.train import Trainer
from bakeoff.errors import StoreError
from bakeoff.methods.contract import Ground
from bakeoff.model.base import Base
from bakeoff.study.archive import Archive
from bakeoff.study.progress import ProgressView
from bakeoff.study.slots import free_bytes
from bakeoff.study.workbench import Workbench
from bakeoff.types import RunState

_MEMORY_SHARE = 0.25
"""Hidden states larger than this share of the free memory go to a file."""


class RunObserver:
    """Keeps what ends, and tells the person.

    Attributes:
        kept: ids of the candidates that have ended and are written.
    """

    def __init__(self, archive: Archive, view: ProgressView) -> None:
        self.kept: set[str] = set()
        self.archive = archive
        self.view = view
        self.on_step = view.on_step
        self.on_epoch = view.on_epoch

    def on_end(self, candidate: Candidate) -> None:
        """Writes the candidate, then says so."""
        self.archive.keep_candidate(candidate)
        self.kept.add(candidate.id)
        self.view.on_end(candidate)

    def on_note(self, note: str) -> None:
        """Keeps the note for the report."""
        self.archive.keep_note(note)
        self.view.on_note(note)


def train_group(
    bench: Workbench, candidates: Sequence[Candidate], archive: Archive, view: ProgressView
) -> None:
    """Trains candidates of one ground; one that fails takes no other with it.

    When a cohort of several fails, each of its unfinished candidates is tried alone.
    """
    slots = bench.num_slots(candidates)
    observer = RunObserver(archive, view)
    try:
        _train(bench, candidates, slots, observer)
        return
    except StoreError:
        raise
    except Exception as error:  # whatever it is, the others go on
        # The error itself would keep the cohort alive, and its memory with it.
        reason, is_short = f"{type(error).__name__}: {error}", is_out_of_memory(error)
    unfinished = [c for c in candidates if c.id not in observer.kept]
    for candidate in unfinished:
        candidate.state, candidate.epochs = RunState.WAITING, []
        candidate.best_epoch, candidate.tensors, candidate.reason = None, None, None
    view.clear()
    release_memory()
    if len(candidates) == 1:
        for candidate in unfinished:
            candidate.state, candidate.reason = RunState.FAILED, reason
            observer.on_end(candidate)
        return
    if slots > 1 and is_short:
        observer.on_note(f"memory is too small for {slots} candidates in one pass; each goes alone")
    for candidate in unfinished:
        train_group(bench, [candidate], archive, view)


def _train(
    bench: Workbench, candidates: Sequence[Candidate], slots: int, observer: RunObserver
) -> None:
    protocol = bench.study.options.protocol
    methods = list({c.method_name: c.method for c in candidates}.values())
    with ExitStack() as stack:
        feed = open_feed(
            bench.base, candidates[0].method.ground, list(bench.plans.values())[:2], stack
        )
        cohort = stack.enter_context(Cohort(bench.base, methods, slots, protocol))
        Trainer(
            cohort, feed, bench.plans["train"], bench.plans["validation"], protocol, observer
        ).run(candidates)


def open_feed(base: Base, ground: Ground, plans: Sequence[BatchPlan], stack: ExitStack) -> Feed:
    """The feed of a ground; hidden states of ``plans`` are computed here, once.

    Args:
        base: the base. ground: what the candidates train on.
        plans: the splits that will be fed.
        stack: closes what was opened, such as a temporary folder.
    """
    if ground is not Ground.HIDDEN_STATES:
        return TokenFeed(base.device)
    kept: dict[BatchPlan, Tensor] = {}
    folder: Path | None = None
    with Cohort(base, [], 1) as empty:
        for plan in plans:
            num_bytes = int(plan.completions.offsets[-1]) * base.width * base.compute_dtype.itemsize
            path = None
            if num_bytes > _MEMORY_SHARE * free_bytes(base.device):
                if folder is None:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                path = str(folder / f"hidden{len(kept)}.bin")
            kept[plan] = keep_hidden_states(empty, plan, rows=EVALUATION_ROWS, path=path)
    return HiddenFeed(kept, base.device)
