"""Kept hidden states serve a head as the base itself does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.batch_source import HiddenStateSource, TokenSource, keep_hidden_states
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.score import example_nlls
from bakeoff.errors import OutOfMemoryError

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param, tied=request.param == "gpt_neo")


def kept(base: Base, plans: list[BatchPlan], folder: Path | None = None) -> HiddenStateSource:
    hidden = {}
    with Cohort(base, [], 1) as empty:
        for index, plan in enumerate(plans):
            path = None if folder is None else str(folder / f"hidden{index}.bin")
            hidden[plan] = keep_hidden_states(empty, plan, rows=5, path=path)
    return HiddenStateSource(hidden, CPU)


@pytest.mark.parametrize("in_file", [False, True])
def test_losses_and_gradients_are_those_through_the_base(
    kit: Kit, bench: Bench, tmp_path: Path, in_file: bool
) -> None:
    plan = kit.plan(13)
    batch_sources = (TokenSource(CPU), kept(bench.base, [plan], tmp_path if in_file else None))
    if in_file:
        [file] = tmp_path.iterdir()
        num_tokens = plan.num_targets
        assert file.stat().st_size == num_tokens * bench.base.width * 4
    method = bench.method("head")
    outcomes = []
    for batch_source in batch_sources:
        with Cohort(bench.base, [method], 2, ProtocolOptions()) as cohort:
            for slot in range(2):
                cohort.seat(slot, method, kit.perturbed(method, seed=slot))
            # Two slots with different rows, the second one's last rectangle not full.
            rectangles = [
                plan.rectangle(np.array([3, 0, 7]), num_rows=4, width=40),
                plan.rectangle(np.array([12]), num_rows=4, width=40),
            ]
            sums, each = batch_source.losses(cohort, batch_source.pack(plan, rectangles))
            sums.sum().backward()
            assert cohort.optimizer is not None
            outcomes.append((sums.detach(), each, cohort.optimizer.grads_Kn.clone()))
    for expected, actual in zip(*outcomes, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert (outcomes[0][0] > 1).all()


@pytest.mark.parametrize("room", [8, 0])
def test_hidden_states_are_computed_in_smaller_passes_where_memory_runs_out(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    plan = kit.plan(41)
    hidden_states, sizes = Cohort.hidden_states, list[int]()

    def small(self: Cohort, ids_KBT: Tensor) -> Any:
        sizes.append(ids_KBT.shape[1])
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return hidden_states(self, ids_KBT)

    with Cohort(bench.base, [], 1) as empty:
        expected = keep_hidden_states(empty, plan, rows=64)
        monkeypatch.setattr(Cohort, "hidden_states", small)
        if room == 0:
            with pytest.raises(OutOfMemoryError, match="one row; lower"):
                keep_hidden_states(empty, plan, rows=64)
            return
        torch.testing.assert_close(keep_hidden_states(empty, plan, rows=64), expected)
    # What did not fit is not tried again.
    assert [size for size in sizes if size > room] == [41, 11]


def test_head_candidates_on_kept_states_follow_their_solo_curves_through_the_base(
    kit: Kit, bench: Bench
) -> None:
    """Three heads in two slots on kept states, against each alone on the base's tokens."""
    train, validation = kit.plan(20), kit.plan(7, seed=7)
    protocol = ProtocolOptions(epochs=3, micro_batch_size=4, grad_accum_steps=2, patience=None)
    method = bench.method("head")

    rates = [1e-2, 1e-3, 3e-3]
    together = [kit.candidate(method, r, seed=i, id=f"h{i}") for i, r in enumerate(rates)]
    batch_source = kept(bench.base, [train, validation])
    kit.run(bench.base, together, 2, train, validation, protocol, batch_source=batch_source)
    for index, candidate in enumerate(together):
        alone = kit.candidate(method, rates[index], seed=index)
        kit.run(bench.base, [alone], 1, train, validation, protocol)
        for ours, theirs in zip(candidate.epochs, alone.epochs, strict=True):
            assert ours.train_nll == pytest.approx(theirs.train_nll, rel=1e-5)
            assert ours.val_nll == pytest.approx(theirs.val_nll, rel=1e-5)
    assert bench.untouched()


def test_evaluation_from_kept_states(kit: Kit, bench: Bench) -> None:
    plan = kit.plan(13)
    method = bench.method("head")
    with Cohort(bench.base, [method], 1) as cohort:
        cohort.seat(0, method, kit.perturbed(method, seed=1))
        expected = example_nlls(cohort, 0, TokenSource(CPU), plan)
        actual = example_nlls(cohort, 0, kept(bench.base, [plan]), plan, rows=4)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
