"""What resuming needs, on disk: whole files whose names hold their own checksum.

``checkpoints/NUMBER-CHECKSUM.safetensors`` is all of training at one moment; the newest that is
whole counts, and the one before it is kept. ``checkpoints/paused/`` holds the candidates that wait
for their rung, ``candidates/ID/last-CHECKSUM.safetensors`` where one that completed could go on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.schedule import Position
from bakeoff.errors import CheckpointError
from bakeoff.files import PART, disk_errors, new_file, sha256_of
from bakeoff.methods.contract import Tensors
from bakeoff.runs.records import CandidateSpec, EpochRecord
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

CHECKPOINTS: Final = "checkpoints"
CANDIDATES: Final = "candidates"
_LAST: Final = "last-"
_PAUSED: Final = "paused"
_SUFFIX: Final = ".safetensors"
_KEPT: Final = 2
_META: Final = "bakeoff"
_CHECKSUM: Final = 16


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Everything that training is at one moment.

    Attributes:
        slots: candidates in one pass, by group.
        micro_batch_sizes: rows of one pass, by group, as far as memory has halved them.
        position: the moment inside a group's training, or None between groups.
    """

    slots: dict[str, int]
    micro_batch_sizes: dict[str, int] = field(default_factory=dict)
    position: Position | None = None


class Checkpoints:
    """A run's checkpoints.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CHECKPOINTS
        self._candidates = folder / CANDIDATES
        self.saved_at = time.monotonic()
        self.notes: list[str] = []
        """What to report of the checkpoints that were found."""
        self._references: list[set[str]] = []
        self._boundary = ""

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
            "slots": progress.slots,
            "micro_batch_sizes": progress.micro_batch_sizes,
            "threads": torch.get_num_threads(),
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
        names = self._names()
        number = int(names[-1].partition("-")[0]) + 1 if names else 0
        written = self._write(self.path, f"{number:06d}-", tensors, content)
        if position is None or position.step == 0:
            self._boundary = written.name
        for name in names[: 1 - _KEPT]:
            if name != self._boundary:  # what a failed pass is set back to
                (self.path / name).unlink(missing_ok=True)
        waiting = {_paused_prefix(c) for c in schedule.candidates if c.state is RunState.PAUSED}
        waiting |= {_paused_prefix(c) for c in schedule.candidates if _is_promoted(c)}
        self._references = [*self._references, waiting][-_KEPT:]
        self._forget_paused()
        self.saved_at = time.monotonic()

    def load(self, schedule: StudySchedule) -> Progress | None:
        """Takes up the newest checkpoint that is whole: the schedule's candidates and the rest."""
        for name in reversed(self._names()):
            found = _read(self.path / name)
            if found is not None:
                try:
                    progress = self._take_up(schedule, *found)
                    self._boundary = self._newest_boundary()
                    return progress
                except (KeyError, TypeError, ValueError):
                    pass  # whole, but not of this study or this version
            # It must not count as one of those that are kept.
            (self.path / name).replace(self.path / f"{name}.unreadable")
            self.notes.append(
                f"{CHECKPOINTS}/{name} is torn or of another version; what it held is trained again"
            )
        return None

    def pause(self, candidate: Candidate) -> None:
        """Moves a paused candidate's tensors out of memory."""
        tensors = {f"now/{name}": t for name, t in (candidate.snapshot or {}).items()}
        tensors |= {f"best/{name}": t for name, t in (candidate.tensors or {}).items()}
        prefix = _paused_prefix(candidate)
        before = set((self.path / _PAUSED).glob(f"{prefix}*{_SUFFIX}"))
        kept = self._write(self.path / _PAUSED, prefix, tensors, {})
        for stale in before - {kept}:
            stale.unlink(missing_ok=True)
        candidate.snapshot = candidate.tensors = None

    def fetch(self, candidate: Candidate) -> None:
        """Reads back what ``pause`` wrote.

        Raises:
            CheckpointError: if it is not there or not whole.
        """
        prefix = _paused_prefix(candidate)
        for file in sorted((self.path / _PAUSED).glob(f"{prefix}*{_SUFFIX}")):
            found = _read(file)
            if found is not None:
                candidate.snapshot = _below(found[1], "now/")
                candidate.tensors = _below(found[1], "best/")
                return
        raise CheckpointError(
            f"{self.path / _PAUSED}: the state of {candidate.id} after epoch "
            f"{len(candidate.epochs)} is missing or torn; it is trained from the start"
        )

    def keep_last(self, candidate: Candidate) -> None:
        """Writes where a candidate that completed could go on, were there more epochs."""
        folder = self._candidates / candidate.id
        before = set(folder.glob(f"{_LAST}*{_SUFFIX}"))
        kept = self._write(folder, _LAST, candidate.snapshot or {}, {})
        for stale in before - {kept}:
            stale.unlink(missing_ok=True)

    def last(self, candidate: Candidate) -> Tensors:
        """Reads back what ``keep_last`` wrote.

        Raises:
            CheckpointError: if it is not there or not whole.
        """
        folder = self._candidates / candidate.id
        for file in sorted(folder.glob(f"{_LAST}*{_SUFFIX}")):
            found = _read(file)
            if found is not None:
                return found[1]
        raise CheckpointError(
            f"{folder}: the state of {candidate.id} after its last epoch is missing or torn; it is "
            "trained from the start"
        )

    def set_back(self, candidates: Sequence[Candidate]) -> None:
        """Sets candidates back to the end of their last saved epoch, or to their start.

        Their snapshot and their best tensors are those of the newest checkpoint between two
        epochs; what was trained after it is lost.
        """
        saved = self._newest_between_epochs()
        for candidate in candidates:
            found = saved.get(candidate.id)
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

    def _newest_boundary(self) -> str:
        """The name of the newest checkpoint between two epochs, or nothing."""
        for name in reversed(self._names()):
            found = _read(self.path / name)
            if found is not None:
                place = found[0].get("position")
                if not place or place["step"] == 0:
                    return name
        return ""

    def _newest_between_epochs(self) -> dict[str, tuple[dict[str, Any], Tensors, Tensors]]:
        """Of the newest such checkpoint, by id: record, the position of training, best tensors."""
        for name in reversed(self._names()):
            found = _read(self.path / name)
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
        shutil.rmtree(self.path, ignore_errors=True)

    def _take_up(
        self, schedule: StudySchedule, content: dict[str, Any], tensors: Tensors
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
                )
                candidate = schedule.candidate_of(spec)
                later.append(candidate)
                by_id[candidate.id] = candidate
            taken.append((candidate, record))
        place = content.get("position")
        position = None
        if place is not None:
            seated = [by_id[name] for name in place["seated"]]
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
                [EpochRecord(**epoch) for epoch in record["epochs"]],
            )
            for candidate, record in taken
        ]
        progress = Progress(
            slots=dict(content["slots"]),
            micro_batch_sizes=dict(content["micro_batch_sizes"]),
            position=position,
        )
        random = tensors["random"]
        num_rounds = dict(content["rounds"])
        chosen = {name: by_id[key] for name, key in content["chosen"].items()}
        if content["threads"] != torch.get_num_threads():
            self.notes.append(
                f"this call computes on {torch.get_num_threads()} threads, an earlier one on "
                f"{content['threads']}: sums may round differently"
            )
        # Nothing can go wrong from here on, so that a checkpoint is taken up whole or not at all.
        for candidate, state, reason, best_epoch, epochs in parsed:
            candidate.state, candidate.reason = state, reason
            candidate.best_epoch, candidate.epochs = best_epoch, epochs
        if position is not None:
            for slot, candidate in enumerate(position.seated):
                candidate.tensors = _below(tensors, f"slot{slot}/best/") or None
        schedule.recall(later, chosen, num_rounds)
        torch.set_rng_state(random)
        return progress

    def _names(self) -> list[str]:
        if not self.path.is_dir():
            return []
        return sorted(file.name for file in self.path.glob(f"??????-*{_SUFFIX}"))

    def _forget_paused(self) -> None:
        """Removes the paused states that no kept checkpoint needs."""
        if len(self._references) < _KEPT or not (self.path / _PAUSED).is_dir():
            return
        needed = set().union(*self._references)
        for file in (self.path / _PAUSED).glob(f"*{_SUFFIX}"):
            if not any(file.name.startswith(prefix) for prefix in needed):
                file.unlink(missing_ok=True)

    def _write(
        self, folder: Path, prefix: str, tensors: Mapping[str, Any], content: Mapping[str, Any]
    ) -> Path:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / f".{prefix}{PART}"
            try:
                try:
                    save_file(dict(tensors), draft, metadata={_META: json.dumps(content)})
                except SafetensorError as error:
                    raise OSError(str(error)) from error
                # Its name holds its checksum, so that it is known only once it is written.
                target = folder / f"{prefix}{sha256_of(draft)[:_CHECKSUM]}{_SUFFIX}"
                with new_file(target) as beside:
                    draft.replace(beside)
                return target
            finally:
                draft.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], Tensors] | None:
    """A file's JSON and tensors, or None where it is not whole."""
    try:
        checksum = sha256_of(path)[:_CHECKSUM]
        if not path.name.endswith(f"-{checksum}{_SUFFIX}"):
            return None
        with safe_open(path, framework="pt") as stored:
            content = json.loads((stored.metadata() or {})[_META])
            # Copies: the library maps the file, which may be removed while they are in use.
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118
        return content, tensors
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def _record(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "method": candidate.method_name,
        "variant": candidate.variant,
        "learning_rate": candidate.learning_rate,
        "seed": candidate.seed,
        "state": candidate.state.value,
        "reason": candidate.reason,
        "best_epoch": candidate.best_epoch,
        "epochs": [asdict(epoch) for epoch in candidate.epochs],
    }


def _is_promoted(candidate: Candidate) -> bool:
    """Whether it goes on from a rung, but has not sat down yet."""
    return candidate.state is RunState.WAITING and bool(candidate.epochs)


def _paused_prefix(candidate: Candidate) -> str:
    return f"{candidate.id}-{len(candidate.epochs)}-"


def _below(tensors: Mapping[str, Any], prefix: str) -> Tensors:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
