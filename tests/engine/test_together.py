"""Trained together equals trained alone, whoever sits in the next slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.score import score, score_rows
from bakeoff.methods.contract import Method
from bakeoff.types import RunState

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

PROTOCOL = ProtocolOptions(
    epochs=3, micro_batch_size=4, grad_accum_steps=2, max_grad_norm=1.0, patience=None
)
LORA = {
    "gpt_neo": ("q_proj", "v_proj"),
    "llama": ("q_proj", "down_proj"),
}


def four_candidates(kit: Kit, bench: Bench, base_kind: str) -> list[Candidate]:
    """Two methods, each with two shapes, four rates, three seeds."""
    targets = LORA[base_kind]
    wide = bench.method("lora", rank=4, alpha=8.0, target_modules=targets)
    narrow = bench.method("lora", rank=2, alpha=2.0, target_modules="all-linear")
    long = bench.method("soft_prompt", prompt_length=6)
    short = bench.method("soft_prompt", prompt_length=3)
    return [
        kit.candidate(wide, 1e-2, seed=1, id="wide"),
        kit.candidate(long, 5e-2, seed=2, id="long"),
        kit.candidate(narrow, 3e-3, seed=3, id="narrow"),
        kit.candidate(short, 2e-1, seed=1, id="short"),
    ]


def of_every_kind(kit: Kit, bench: Bench, base_kind: str) -> list[Candidate]:
    """One candidate of each method that shares the base, in one cohort."""
    entries: list[tuple[str, float, dict[str, Any]]] = [
        ("lora", 1e-2, {"rank": 3, "target_modules": LORA[base_kind]}),
        ("soft_prompt", 5e-2, {"prompt_length": 3}),
        ("p_tuning", 1e-2, {"prompt_length": 4, "hidden": 8}),
        ("prefix", 2e-2, {"prefix_length": 5}),
        ("prefix", 1e-2, {"prefix_length": 2, "projection": True, "hidden": 6}),
        ("bottleneck", 1e-2, {"variant": "houlsby", "size": 4, "activation": "gelu"}),
        ("bottleneck", 1e-2, {"size": 6}),
        ("bottleneck", 5e-3, {"size": 3, "placement": "parallel", "scale": 4.0}),
        ("ia3", 2e-2, {}),
        ("bitfit", 1e-2, {"norms": True}),
    ]
    return [
        kit.candidate(bench.method(kind, **options), rate, seed=number, id=f"{number}-{kind}")
        for number, (kind, rate, options) in enumerate(entries)
    ]


def last_layers(kit: Kit, bench: Bench, base_kind: str) -> list[Candidate]:
    """One and two blocks, with and without the head."""
    entries: list[tuple[float, dict[str, Any]]] = [
        (1e-3, {"num_layers": 1}),
        (2e-3, {"num_layers": 2, "head": False}),
        (1e-3, {"num_layers": 1, "head": False}),
    ]
    return [
        kit.candidate(bench.method("last_layers", **options), rate, seed=number, id=f"c{number}")
        for number, (rate, options) in enumerate(entries)
    ]


def same_outcome(together: Candidate, alone: Candidate) -> None:
    assert together.state == alone.state
    assert together.best_epoch == alone.best_epoch
    assert len(together.epochs) == len(alone.epochs)
    for ours, theirs in zip(together.epochs, alone.epochs, strict=True):
        assert ours.train_nll == pytest.approx(theirs.train_nll, rel=1e-4)
        assert ours.val_nll == pytest.approx(theirs.val_nll, rel=1e-4)
    assert (together.tensors is None) == (alone.tensors is None)
    for name, tensor in (alone.tensors or {}).items():
        assert together.tensors is not None
        torch.testing.assert_close(together.tensors[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("base_kind", ["gpt_neo", "llama"])
@pytest.mark.parametrize("make", [four_candidates, of_every_kind, last_layers])
def test_candidates_follow_their_solo_curves(
    kit: Kit, make: Callable[[Kit, Bench, str], list[Candidate]], base_kind: str
) -> None:
    bench = kit.bench(base_kind)
    train, validation = kit.plan(32), kit.plan(9, seed=7)
    assert PROTOCOL.epochs * train.num_steps == 12
    together = make(kit, bench, base_kind)
    seen = kit.run(bench.base, together, len(together), train, validation, PROTOCOL)
    for candidate, alone in zip(together, make(kit, bench, base_kind), strict=True):
        solo = kit.run(bench.base, [alone], 1, train, validation, PROTOCOL)
        assert candidate.state is RunState.COMPLETE
        same_outcome(candidate, alone)
        steps = solo.step_nlls[alone.id]
        assert len(steps) == 12
        assert seen.step_nlls[candidate.id] == pytest.approx(steps, rel=1e-4)
        # The curve says something: the candidate learnt.
        assert candidate.epochs[-1].train_nll < candidate.epochs[0].train_nll - 0.01
    assert bench.untouched()


@pytest.mark.parametrize(("wild_rate", "max_grad_norm"), [(1e6, 1.0), (1e20, None)])
def test_a_diverging_neighbour_changes_no_bit_of_the_others(
    kit: Kit, wild_rate: float, max_grad_norm: float | None
) -> None:
    """At 1e6 the weight decay compounds until a gradient overflows; at 1e20 the losses are NaN."""
    protocol = ProtocolOptions(
        epochs=3,
        micro_batch_size=4,
        grad_accum_steps=2,
        max_grad_norm=max_grad_norm,
        weight_decay=0.01,
        schedule="constant",
        patience=None,
    )
    bench = kit.bench("gpt_neo")
    train, validation = kit.plan(24), kit.plan(9, seed=7)
    outcomes = []
    for rate in (wild_rate, 1e-3):
        candidates = four_candidates(kit, bench, "gpt_neo")
        candidates[0].learning_rate = rate
        seen = kit.run(bench.base, candidates, 4, train, validation, protocol)
        outcomes.append((candidates, seen))
    (wild, wild_seen), (tame, tame_seen) = outcomes
    assert wild[0].state is RunState.DIVERGED
    assert wild[0].reason is not None and f"{wild_rate:g}" in wild[0].reason
    losses = wild_seen.step_nlls[wild[0].id]
    assert wild_rate == 1e6 or losses[1] != losses[1]
    assert tame[0].state is RunState.COMPLETE
    for ours, theirs in zip(wild[1:], tame[1:], strict=True):
        assert ours.state is RunState.COMPLETE
        assert wild_seen.step_nlls[ours.id] == tame_seen.step_nlls[theirs.id]
        assert [(e.train_nll, e.val_nll) for e in ours.epochs] == [
            (e.train_nll, e.val_nll) for e in theirs.epochs
        ]
        assert ours.tensors is not None and theirs.tensors is not None
        for name, tensor in theirs.tensors.items():
            assert torch.equal(ours.tensors[name], tensor), (ours.id, name)


def five_candidates(kit: Kit, methods: list[Method]) -> list[Candidate]:
    """Of several lengths: one diverges, some stop early, some run to the end."""
    rates = [1e-2, 1e6, 0.2, 5e-2, 3e-3]
    return [
        kit.candidate(method, rate, seed=index, id=f"c{index}")
        for index, (method, rate) in enumerate(zip(methods, rates, strict=True))
    ]


def test_slots_that_refill_give_the_results_of_five_alone(kit: Kit) -> None:
    protocol = ProtocolOptions(
        epochs=3,
        micro_batch_size=4,
        grad_accum_steps=2,
        patience=1,
        schedule="cosine",
        warmup_ratio=0.2,
    )
    bench = kit.bench("llama")
    train, validation = kit.plan(20), kit.plan(9, seed=7)
    lora = bench.method("lora", rank=4, target_modules=("q_proj", "v_proj"))
    prompt = bench.method("soft_prompt", prompt_length=4)
    methods = [lora, lora, lora, prompt, bench.method("lora", rank=2, alpha=8.0)]
    together = five_candidates(kit, methods)
    seen = kit.run(bench.base, together, 2, train, validation, protocol)
    lengths = set()
    for candidate, alone in zip(together, five_candidates(kit, methods), strict=True):
        solo = kit.run(bench.base, [alone], 1, train, validation, protocol)
        same_outcome(candidate, alone)
        assert candidate.reason == alone.reason
        rates = solo.step_rates[alone.id]
        assert seen.step_rates[candidate.id] == rates
        if alone.state is not RunState.DIVERGED:
            assert seen.step_nlls[candidate.id] == pytest.approx(solo.step_nlls[alone.id], rel=1e-4)
        lengths.add((str(candidate.state), len(candidate.epochs)))
    assert {state for state, _ in lengths} == {"COMPLETE", "STOPPED", "DIVERGED"}, lengths
    assert len(seen.ended) == 5


def test_a_prompt_beside_a_prefix_needs_no_positions_that_the_base_lacks(kit: Kit) -> None:
    """Rows of 112 tokens leave 16 positions: enough for either, and not for both together."""
    bench = kit.bench("gpt2")
    assert bench.base.max_positions == 128
    protocol = ProtocolOptions(epochs=2, micro_batch_size=2, grad_accum_steps=1, patience=None)
    long: dict[str, Any] = {"max_length": 112, "prompt": (92, 100), "completion": (6, 12)}
    train, validation = kit.plan(4, rows_per_step=2, **long), kit.plan(3, seed=7, **long)
    assert max(train.widths) == 112

    def candidates() -> list[Candidate]:
        prompt = bench.method("soft_prompt", prompt_length=8)
        prefix = bench.method("prefix", prefix_length=16)
        return [
            kit.candidate(prompt, 1e-2, seed=1, id="prompt"),
            kit.candidate(prefix, 1e-2, seed=2, id="prefix"),
        ]

    together = candidates()
    kit.run(bench.base, together, 2, train, validation, protocol)
    for candidate, alone in zip(together, candidates(), strict=True):
        kit.run(bench.base, [alone], 1, train, validation, protocol)
        same_outcome(candidate, alone)
    with Cohort(bench.base, [c.method for c in together], 2) as cohort, torch.no_grad():
        for slot, candidate in enumerate(together):
            assert candidate.tensors is not None
            cohort.seat(slot, candidate.method, candidate.tensors)
        source = TokenSource(bench.base.device)
        of_prompt, of_prefix = score(cohort, [0, 1], source, validation)
        mixed = score_rows(cohort, [0, 1, 1], validation)
        np.testing.assert_allclose(mixed, [of_prompt[0], *of_prefix[1:]], rtol=1e-5)
        # Alone in its pass, a slot has no padding for its neighbour's prompt.
        with cohort.only([1]):
            hidden, moved = cohort.hidden_states(torch.zeros(1, 1, 5, dtype=torch.int64))
        assert hidden.shape[2] == 5 and moved is None


def low_rank_candidates(kit: Kit, bench: Bench) -> list[Candidate]:
    """Dropouts, ranks, scalings and starts that differ, beside a prompt that moves the tokens."""
    dropping = bench.method("lora", rank=4, dropout=0.4, ranks={"v_proj": 2})
    principal = bench.method("lora", rank=3, init="pissa", alpha=2.0)
    stable = bench.method("lora", rank=4, init="orthogonal", loraplus_lr_ratio=8.0)
    decomposed = bench.method("dora", rank=2, dropout=0.2, loraplus_lr_ratio=2.0)
    return [
        kit.candidate(dropping, 1e-2, seed=1, id="dropping"),
        kit.candidate(bench.method("soft_prompt", prompt_length=3), 1e-2, seed=2, id="prompt"),
        kit.candidate(principal, 3e-3, seed=3, id="principal"),
        kit.candidate(bench.method("dora", rank=4), 5e-3, seed=3, id="dora"),
        kit.candidate(stable, 3e-3, seed=1, id="stable"),
        kit.candidate(decomposed, 1e-2, seed=1, id="decomposed"),
    ]


def test_low_rank_methods_of_all_sorts_follow_their_solo_curves(kit: Kit) -> None:
    bench = kit.bench("llama")
    train, validation = kit.plan(24), kit.plan(9, seed=7)
    together = low_rank_candidates(kit, bench)
    seen = kit.run(bench.base, together, 6, train, validation, PROTOCOL)
    for candidate, alone in zip(together, low_rank_candidates(kit, bench), strict=True):
        solo = kit.run(bench.base, [alone], 1, train, validation, PROTOCOL)
        same_outcome(candidate, alone)
        assert seen.step_nlls[candidate.id] == pytest.approx(solo.step_nlls[alone.id], rel=1e-4)
        assert candidate.epochs[-1].train_nll < candidate.epochs[0].train_nll - 0.01
    assert bench.untouched()
