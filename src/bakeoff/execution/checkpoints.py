"""What resuming needs, on disk: whole files in the cohorts' folders (``execution/states.py``).

A checkpoint is all of training at one moment; the newest that is whole counts, and the one before
it is kept. Where candidates that completed could go on is in ``execution/last_states.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.schedule import Position
from bakeoff.errors import CheckpointError
from bakeoff.execution.states import PAUSED, StateFiles, is_whole, read_state, write_state
from bakeoff.methods.contract import Tensors
from bakeoff.runs.records import CandidateRecord, CandidateSpec, EpochRecord
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

_KEPT: Final = 2
Ended = Callable[[Collection[str]], Mapping[str, CandidateRecord]]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Everything that training is at one moment.

    Attributes:
        slots, micro_batch_sizes: by group, of checkpoints of before ``events.jsonl`` had jobs.
        position: the moment inside a group's training, or None between groups.
        group: the name of the group whose round is not over, where there is no position.
    """

    slots: dict[str, int] = field(default_factory=dict)
    micro_batch_sizes: dict[str, int] = field(default_factory=dict)
    position: Position | None = None
    group: str = ""


class Checkpoints:
    """A run's checkpoints.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._files = StateFiles(folder)
        self.saved_at = time.monotonic()
        self.notes: list[str] = []
        """What to report of the checkpoints that were found."""
        self._references: list[set[str]] = []
        self._boundary: Path | None = None

    @property
    def path(self) -> Path:
        """The folder of the cohort that trains."""
        return self._files.path

    def enter(self, cohort: str) -> None:
        """From here on another cohort trains, and writes into a folder of its own."""
        self._files.enter(cohort)

    def save(self, schedule: StudySchedule, progress: Progress) -> None:
        """Writes all that is there, beside its place, synced and renamed.

        Raises:
            StoreError: if it cannot be written; what was there before stays.
        """
        tensors: Tensors = {"random": torch.get_rng_state()}
        position = progress.position
        content: dict[str, Any] = {
            "candidates": [_record(c) for c in schedule.candidates],
            "chosen": {m.name: m.chosen.id for m in schedule.methods.values() if m.chosen},
            "rounds": {m.name: m.num_rounds for m in schedule.methods.values()},
            "threads": torch.get_num_threads(),
            "known": sorted(schedule.known),
            "group": progress.group,
        }
        if position is not None:
            for slot, candidate in enumerate(position.seated):
                for name, tensor in position.snapshots[slot].items():
                    tensors[f"slot{slot}/now/{name}"] = tensor
                for name, tensor in (candidate.tensors or {}).items():
                    tensors[f"slot{slot}/best/{name}"] = tensor
            content["position"] = {
                "seated": [c.id for c in position.seated],
                "step": position.step,
                "train_nll": position.train_nll,
                "train_tokens": position.train_tokens,
                "seconds": position.seconds,
                "micro_batch_size": position.micro_batch_size,
            }
        before = self._files.checkpoints()
        number = int(before[-1].name.partition("-")[0]) + 1 if before else 0
        written = write_state(self.path, f"{number:06d}-", tensors, content)
        if position is not None and position.step == 0:
            self._boundary = written
        for file in before[: 1 - _KEPT]:
            if file != self._boundary:  # what a failed pass is set back to
                file.unlink(missing_ok=True)
        waiting = {_paused_prefix(c) for c in schedule.candidates if c.state is RunState.PAUSED}
        waiting |= {_paused_prefix(c) for c in schedule.candidates if _is_promoted(c)}
        self._references = [*self._references, waiting][-_KEPT:]
        self._forget_paused()
        self._files.tidy()
        self.saved_at = time.monotonic()

    def load(self, schedule: StudySchedule, ended: Ended = lambda _: {}) -> Progress | None:
        """Takes up the newest checkpoint that is whole: the schedule's candidates and the rest.

        Candidates for which the schedule has no place any more are left out.

        Args:
            schedule: the study's, as it begins. ended: the kept records of ended candidates, by id.
        """
        for file in reversed(self._files.checkpoints()):
            found = read_state(file)
            if found is not None:
                try:
                    progress = self._take_up(schedule, *found, ended)
                    self._boundary = self._newest_boundary()
                    return self._seated_again(schedule, progress)
                except (KeyError, TypeError, ValueError):
                    pass  # whole, but not of this study or this version
            # It must not count as one of those that are kept.
            file.replace(file.with_name(f"{file.name}.unreadable"))
            self.notes.append(
                f"{self._files.shown(file)} is torn or of another version; what it held is trained "
                "again"
            )
        return None

    def _seated_again(self, schedule: StudySchedule, progress: Progress) -> Progress:
        """The progress, without its position where that seats a candidate that was left out.

        The others go on from their last whole epoch.
        """
        if progress.position is None:
            return progress
        seated = progress.position.seated
        staying = [c for c in seated if c in schedule.candidates]
        if len(staying) == len(seated):
            return progress
        self.set_back([c for c in staying if not c.state.is_final])
        return replace(progress, position=None)

    def pause(self, candidate: Candidate) -> None:
        """Moves a paused candidate's tensors out of memory."""
        tensors = {f"now/{name}": t for name, t in (candidate.snapshot or {}).items()}
        tensors |= {f"best/{name}": t for name, t in (candidate.tensors or {}).items()}
        prefix = _paused_prefix(candidate)
        before = set(self._files.paused(prefix))
        kept = write_state(self.path / PAUSED, prefix, tensors, {})
        for stale in before - {kept}:
            stale.unlink(missing_ok=True)
        candidate.snapshot = candidate.tensors = None

    def fetch(self, candidate: Candidate) -> None:
        """Reads back what ``pause`` wrote.

        Raises:
            CheckpointError: if it is not there or not whole.
        """
        prefix = _paused_prefix(candidate)
        for file in self._files.paused(prefix):
            found = read_state(file)
            if found is not None:
                candidate.snapshot = _below(found[1], "now/")
                candidate.tensors = _below(found[1], "best/")
                return
        raise CheckpointError(
            f"{self.path / PAUSED}: the state of {candidate.id} after epoch "
            f"{len(candidate.epochs)} is missing or torn; it is trained from the start"
        )

    def set_back(self, candidates: Sequence[Candidate]) -> None:
        """Sets candidates back to the end of their last saved epoch, or to their start.

        Their snapshot and their best tensors are those of the newest checkpoint between two
        epochs; what was trained after it is lost. One whose pass had not come to any, as after a
        rung, goes on from what was kept when it paused.
        """
        saved = self._newest_between_epochs()
        for candidate in candidates:
            found = saved.get(candidate.id)
            known = len(found[0]["epochs"]) if found is not None else 0
            if known < len(candidate.epochs) and self._is_paused_whole(candidate):
                candidate.state, candidate.reason = RunState.WAITING, None
                candidate.snapshot = candidate.tensors = None
                continue
            if found is None:
                candidate.start_again()
                continue
            record, now, best = found
            candidate.state, candidate.reason = RunState.WAITING, None
            candidate.best_epoch = record["best_epoch"]
            candidate.epochs = [EpochRecord(**epoch) for epoch in record["epochs"]]
            candidate.tensors = best or None
            if candidate.epochs:  # at its start there is nothing to go on from
                candidate.snapshot = now
                # To the disk: the next checkpoint may be of another candidate's pass.
                self.pause(candidate)

    def _is_paused_whole(self, candidate: Candidate) -> bool:
        """Whether the state of a candidate after its last epoch is on the disk."""
        return any(map(is_whole, self._files.paused(_paused_prefix(candidate))))

    def _newest_boundary(self) -> Path | None:
        """The newest checkpoint between two epochs."""
        for file in reversed(self._files.checkpoints()):
            found = read_state(file)
            if found is not None:
                place = found[0].get("position")
                if place and place["step"] == 0:
                    return file
        return None

    def _newest_between_epochs(self) -> dict[str, tuple[dict[str, Any], Tensors, Tensors]]:
        """Of the newest such checkpoint, by id: record, the position of training, best tensors."""
        for file in reversed(self._files.checkpoints()):
            found = read_state(file)
            place = found and found[0].get("position")
            if found is None or not place or place["step"] != 0:
                continue
            content, tensors = found
            records = {record["id"]: record for record in content["candidates"]}
            return {
                name: (
                    records[name],
                    _below(tensors, f"slot{slot}/now/"),
                    _below(tensors, f"slot{slot}/best/"),
                )
                for slot, name in enumerate(place["seated"])
            }
        return {}

    def clear(self) -> None:
        """Removes all of them: the study is complete."""
        self._files.clear()

    def _take_up(
        self, schedule: StudySchedule, content: dict[str, Any], tensors: Tensors, ended: Ended
    ) -> Progress:
        by_id = {candidate.id: candidate for candidate in schedule.candidates}
        later: list[Candidate] = []
        taken: list[tuple[Candidate, dict[str, Any]]] = []
        for record in content["candidates"]:
            candidate = by_id.get(record["id"])
            if candidate is None:
                spec = CandidateSpec(
                    method=record["method"],
                    variant=record["variant"],
                    learning_rate=record["learning_rate"],
                    seed=record["seed"],
                    rows=record.get("rows"),
                )
                if not schedule.has_place_for(spec):
                    continue
                candidate = schedule.candidate_of(spec)
                later.append(candidate)
                by_id[candidate.id] = candidate
            taken.append((candidate, record))
        place = content.get("position")
        position = None
        if place is not None:
            seated = [by_id.get(name) or _left_out(name) for name in place["seated"]]
            position = Position(
                seated=seated,
                step=place["step"],
                snapshots=[_below(tensors, f"slot{slot}/now/") for slot in range(len(seated))],
                train_nll=place["train_nll"],
                train_tokens=place["train_tokens"],
                seconds=place["seconds"],
                micro_batch_size=place["micro_batch_size"],
            )
        parsed = [
            (
                candidate,
                RunState(record["state"]),
                record["reason"],
                record["best_epoch"],
                record.get("cohort"),
                dict(record.get("validation", {})),
                [EpochRecord(**epoch) for epoch in record["epochs"]],
            )
            for candidate, record in taken
        ]
        progress = Progress(
            slots=dict(content.get("slots", {})),
            micro_batch_sizes=dict(content.get("micro_batch_sizes", {})),
            position=position,
            group=content.get("group", ""),
        )
        random = tensors["random"]
        num_rounds = dict(content["rounds"])
        chosen = {name: by_id[key] for name, key in content["chosen"].items() if key in by_id}
        # Those that it holds itself may be under way again, and lack files for now.
        wanted = set(content.get("known", ())) - {record["id"] for record in content["candidates"]}
        known = dict(ended(wanted)) if wanted else {}
        # A job says itself on how many threads it computes.
        if "slots" in content and content["threads"] != torch.get_num_threads():
            self.notes.append(
                f"this call computes on {torch.get_num_threads()} threads, an earlier one on "
                f"{content['threads']}: sums may round differently"
            )
        # Nothing can go wrong from here on, so that a checkpoint is taken up whole or not at all.
        for candidate, state, reason, best_epoch, cohort, validation, epochs in parsed:
            candidate.validation = validation
            candidate.state, candidate.reason, candidate.cohort = state, reason, cohort
            candidate.best_epoch, candidate.epochs = best_epoch, epochs
        if position is not None:
            for slot, candidate in enumerate(position.seated):
                candidate.tensors = _below(tensors, f"slot{slot}/best/") or None
        schedule.known = known
        schedule.recall(later, chosen, num_rounds)
        torch.set_rng_state(random)
        return progress

    def _forget_paused(self) -> None:
        """Removes the paused states that no kept checkpoint needs."""
        if len(self._references) < _KEPT:
            return
        needed = set().union(*self._references)
        for file in self._files.paused():
            if not any(file.name.startswith(prefix) for prefix in needed):
                file.unlink(missing_ok=True)


def _record(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "method": candidate.method_name,
        "variant": candidate.variant,
        "learning_rate": candidate.learning_rate,
        "seed": candidate.seed,
        "rows": candidate.rows,
        "state": candidate.state.value,
        "reason": candidate.reason,
        "best_epoch": candidate.best_epoch,
        "cohort": candidate.cohort,
        "validation": dict(candidate.validation),
        "epochs": [asdict(epoch) for epoch in candidate.epochs],
    }


def _left_out(id: str) -> Candidate:
    """Stands for a seated candidate that the study has no more."""
    nothing: Any = None
    return Candidate(
        id=id, method_name="", method=nothing, learning_rate=0.0, seed=0, state=RunState.RUNNING
    )


def _is_promoted(candidate: Candidate) -> bool:
    """Whether it goes on from a rung, but has not sat down yet."""
    return candidate.state is RunState.WAITING and bool(candidate.epochs)


def _paused_prefix(candidate: Candidate) -> str:
    return f"{candidate.id}-{len(candidate.epochs)}-"


def _below(tensors: Mapping[str, Any], prefix: str) -> Tensors:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
