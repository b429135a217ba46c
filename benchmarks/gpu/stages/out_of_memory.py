"""Memory that runs out inside a capture: training goes on and ends where it would have ended.

The engine may halve the micro-batch or leave the update uncaptured: both make the same updates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bakeoff.engine.batch_source import Packed
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions
from bakeoff.types import RunState
from gpu.card import CUDA, Notes, Training, each_base, require_card, small_base, small_training
from gpu.processes import Place
from gpu.records import Report
from gpu.stages.resume import largest_gap
from gpu.stages.updates import TOLERANCES

KINDS = ("lora", "full")
PRECISION = "bfloat16"
ROWS = 8


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    steps = 1 if place.dry_run else 8
    for reference, kinds in each_base(KINDS, all_pairs=not place.dry_run):
        base = small_base(reference, PRECISION)
        for kind in kinds:
            with report.part(f"{reference} {kind}") as found:
                training = small_training(base, kind, steps=steps, rows=ROWS)
                training.engine = EngineOptions(compile=False)
                expected = training.candidates()
                training.trainer(Notes()).run(expected)
                before = torch.cuda.memory_allocated(CUDA)
                short = _train_short_of_memory(training, found)
                found["left_bytes"] = int(torch.cuda.memory_allocated(CUDA) - before)
                found["largest_gap"] = gap = largest_gap(short, expected)
                found["says"] = (
                    f"{found['failed']} allocations failed inside a capture; then "
                    f"{found['rows']} of {ROWS} rows, gap {gap:.1e}, "
                    f"{found['left_bytes'] / 2**20:.1f} MiB left behind"
                )
                allowed = TOLERANCES[PRECISION]
                assert gap <= allowed, f"NLLs are {gap:.2e} apart, allowed {allowed:g}"


def _train_short_of_memory(training: Training, found: dict[str, Any]) -> list[Candidate]:
    """Trains where a capture over the full micro-batch asks for more than the card has.

    Raises:
        AssertionError: training did not come to its end, or nothing ran out.
    """
    notes, asked = Notes(), 0
    trainer = training.trainer(notes)
    losses = trainer.batch_source.losses
    too_many = 2 * torch.cuda.mem_get_info(CUDA)[1]

    def greedy(cohort: Cohort, packed: Packed, scale_K: Tensor | None = None) -> Any:
        nonlocal asked
        if torch.cuda.is_current_stream_capturing() and packed.num_rows == ROWS:
            asked += 1
            torch.empty(too_many, dtype=torch.uint8, device=CUDA)
        return losses(cohort, packed, scale_K)

    trainer.batch_source.losses = greedy  # type: ignore[method-assign]
    candidates = training.candidates()
    trainer.run(candidates)
    found["failed"], found["notes"] = asked, notes.notes
    found["rows"] = trainer.micro_batch_size
    assert asked > 0, "nothing was captured over the full micro-batch"
    states = {candidate.state for candidate in candidates}
    assert states == {RunState.COMPLETE}, f"candidates ended as {states}"
    return candidates
