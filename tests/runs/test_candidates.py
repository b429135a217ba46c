"""Candidates as plain data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.runs.candidates import CandidateRecord
from bakeoff.types import RunState

RECORD = CandidateRecord(
    method="lora", learning_rate=0.02, seed=1, state=RunState.COMPLETE, best_epoch=None, epochs=()
)


def test_the_rate_of_one_that_was_trained_here() -> None:
    assert RECORD.rate == 0.02


def test_one_that_was_made_elsewhere_has_no_rate() -> None:
    with pytest.raises(ValueError, match="lora-s1 was made elsewhere, and has no learning rate"):
        _ = replace(RECORD, learning_rate=None).rate
