"""Training that stops in the middle of an epoch and goes on, against training without a stop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.engine.candidate import Candidate
from gpu.card import (
    Notes,
    StopAt,
    StoppedError,
    each_base,
    require_card,
    small_base,
    small_training,
)
from gpu.processes import Place
from gpu.records import Report
from gpu.stages.updates import TOLERANCES

KINDS = ("lora", "full", "soft_prompt", "head")
PRECISION = "bfloat16"


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    steps, tried = (2, KINDS[:2]) if place.dry_run else (16, KINDS)
    for reference, kinds in each_base(tried, all_pairs=not place.dry_run):
        base = small_base(reference, PRECISION)
        for kind in kinds:
            with report.part(f"{reference} {kind}") as found:
                training = small_training(base, kind, steps=steps, rows=4)
                whole = training.candidates()
                notes = Notes()
                training.trainer(notes).run(whole)
                # In the second epoch, so that what the first one left is taken up as well.
                saver = StopAt(epoch=2, step=steps // 2)
                with contextlib.suppress(StoppedError):
                    training.trainer(Notes(), saver).run(training.candidates())
                position = saver.position
                assert position is not None and 0 < position.step < steps, (
                    "not stopped in mid-epoch"
                )
                training.trainer(notes).run([], position)
                found["notes"] = notes.notes
                found["largest_gap"] = gap = largest_gap(position.seated, whole)
                found["equal_bits"] = bool((curves(position.seated) == curves(whole)).all())
                found["stopped_at_step"] = position.step
                found["says"] = (
                    f"stopped at step {position.step} of {steps}; validation gap {gap:.1e}, "
                    f"{'equal' if found['equal_bits'] else 'other'} bits"
                )
                allowed = TOLERANCES[PRECISION]
                assert gap <= allowed, f"NLLs are {gap:.2e} apart, allowed {allowed:g}"


def largest_gap(candidates: Sequence[Candidate], expected: Sequence[Candidate]) -> float:
    """The largest distance of their NLLs, relatively; NaN where one is."""
    ours, theirs = curves(candidates), curves(expected)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs).clip(1e-6)))


def curves(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """[candidates, epochs, 2] training and validation NLLs."""
    return np.array([[(e.train_nll, e.val_nll) for e in c.epochs] for c in candidates])
