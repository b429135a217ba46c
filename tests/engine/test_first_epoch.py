"""A time budget may end the first epoch of a pass early, once enough of it is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from bakeoff.engine import train
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.schedule import SaveNothing
from bakeoff.engine.train import Trainer

if TYPE_CHECKING:
    from tests.engine.conftest import Kit

NUM_STEPS, EPOCHS = 8, 2


class Budget(SaveNothing):
    """Ends the epoch when it is asked for the nth time, and counts how often it is asked."""

    def __init__(self, candidate: Candidate, cuts_at: int | None) -> None:
        self.candidate, self.cuts_at, self.asked = candidate, cuts_at, 0

        self.epochs: list[float] = []

    def cuts_epoch(self, seconds: float) -> bool:
        self.asked += 1
        assert seconds > 0 and not self.candidate.epochs
        return self.asked == self.cuts_at

    def ends_training(self, epoch_seconds: float) -> None:
        self.epochs.append(epoch_seconds)


@pytest.mark.parametrize(
    ("cuts_at", "asked", "updates", "notes"),
    [
        # A quarter of the first epoch is trained in any case, and the later ones to their ends.
        (None, NUM_STEPS - 2, 2 * NUM_STEPS, 0),
        (1, 1, 2 + NUM_STEPS, 1),
        (3, 3, 4 + NUM_STEPS, 1),
    ],
)
def test_only_the_first_epoch_is_cut_and_no_sooner_than_after_a_quarter(
    kit: Kit,
    monkeypatch: pytest.MonkeyPatch,
    cuts_at: int | None,
    asked: int,
    updates: int,
    notes: int,
) -> None:
    bench = kit.bench("gpt_neo")
    candidate = kit.candidate(bench.method("soft_prompt", prompt_length=2), 1e-2)
    protocol = ProtocolOptions(micro_batch_size=4, grad_accum_steps=1, epochs=EPOCHS)
    budget, seen = Budget(candidate, cuts_at), kit.recorder()
    source = TokenSource(torch.device("cpu"))
    plans = kit.plan(4 * NUM_STEPS, rows_per_step=4), kit.plan(4, seed=7)
    # A second for each update, and none for what else is done.
    clock = SimpleNamespace(perf_counter=lambda: len(seen.step_nlls.get("candidate", ())))
    monkeypatch.setattr(train, "time", clock)
    Trainer(bench.base, source, *plans, protocol, seen, 1, saver=budget).run([candidate])
    assert budget.asked == asked
    assert len(seen.step_nlls["candidate"]) == updates
    assert len(seen.notes) == notes
    assert all(f"after {updates - NUM_STEPS} of {NUM_STEPS} updates" in n for n in seen.notes)
    assert len(candidate.epochs) == EPOCHS
    # Whether there is time for another is asked with what a whole epoch takes.
    assert budget.epochs == [NUM_STEPS] * EPOCHS
