"""Micro-batches, memory that runs out, early stopping, schedules and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.data.batches import BatchPlan, MicroBatch
from bakeoff.engine.batch_source import Packed, TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.schedule import Position, SaveNothing
from bakeoff.engine.slot_groups import SlotGroups
from bakeoff.engine.step import train_step
from bakeoff.engine.train import Trainer
from bakeoff.errors import OutOfMemoryError
from bakeoff.methods.contract import Tensors
from bakeoff.types import RunState

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit, Recorder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench(kit: Kit) -> Bench:
    return kit.bench("gpt_neo")


def protocol_of(micro_batch_size: int = 8, grad_accum_steps: int = 1, **options: Any) -> Any:
    return ProtocolOptions(
        micro_batch_size=micro_batch_size, grad_accum_steps=grad_accum_steps, **options
    )


def pair(kit: Kit, bench: Bench) -> list[Candidate]:
    lora = bench.method("lora", rank=3, dropout=0.3)
    prompt = bench.method("soft_prompt", prompt_length=4)
    return [
        kit.candidate(lora, 1e-2, seed=1, id="lora"),
        kit.candidate(prompt, 5e-2, seed=2, id="prompt"),
    ]


def first_gradients(kit: Kit, bench: Bench, protocol: ProtocolOptions, plan: BatchPlan) -> Tensor:
    """[K, n] gradients of the first update, before the clip."""
    candidates = pair(kit, bench)
    with Cohort(bench.base, [c.method for c in candidates], 2, protocol) as cohort:
        for slot, candidate in enumerate(candidates):
            tensors = kit.perturbed(candidate.method, seed=slot)
            cohort.seat(slot, candidate.method, tensors)
        assert cohort.optimizer is not None
        cohort.optimizer.max_grad_norm = None
        steps = [plan.epoch(c.seed, 0)[0] for c in candidates]
        rates_K = torch.zeros(2, dtype=torch.float64)
        train_step(cohort, TokenSource(CPU), plan, steps, rates_K, protocol.micro_batch_size)
        return cohort.optimizer.grads_Kn.clone()


def outcome(candidates: Sequence[Candidate]) -> list[list[tuple[float, float]]]:
    return [[(e.train_nll, e.val_nll) for e in c.epochs] for c in candidates]


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3), (1, 8)])
def test_micro_batches_of_any_size_make_the_same_update(
    kit: Kit, bench: Bench, shape: tuple[int, int]
) -> None:
    """Ragged lengths: a mean of micro-batch means would weigh tokens unevenly."""
    plan = kit.plan(23, rows_per_step=8)
    whole = first_gradients(kit, bench, protocol_of(8, 1), plan)
    # 3 x 3 cuts the same eight rows so that the last rectangle is not full.
    cut = first_gradients(kit, bench, protocol_of(*shape), plan)
    for slot in range(2):
        assert kit.gap(cut[slot], whole[slot]) <= 1e-6
    assert (whole.norm(dim=1) > 1e-3).all()


def test_one_times_eight_trains_as_four_times_two(kit: Kit, bench: Bench) -> None:
    train, validation = kit.plan(23), kit.plan(9, seed=7)
    results = []
    for shape in ((8, 1), (2, 4)):
        candidates = pair(kit, bench)
        protocol = protocol_of(*shape, epochs=3)
        kit.run(bench.base, candidates, 2, train, validation, protocol)
        results.append(np.array(outcome(candidates)))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


class SmallDevice(TokenSource):
    """Has room for so many rows of all slots together when gradients are needed."""

    def __init__(self, limit: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__(CPU)
        self.limit = limit
        self.error = error
        self.calls = 0

    def losses(
        self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        assert packed.ids_KBT is not None
        num_slots, rows, _ = packed.ids_KBT.shape
        self.calls += 1
        if torch.is_grad_enabled() and num_slots * rows > self.limit:
            # The first micro-batch of an update still fits: its gradients must not remain.
            if self.calls % 2:
                return super().losses(cohort, packed, scale_K)
            raise self.error("out of memory")
        return super().losses(cohort, packed, scale_K)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_update(
    kit: Kit, bench: Bench, error: type[Exception]
) -> None:
    train, validation = kit.plan(23), kit.plan(9, seed=7)
    protocol = protocol_of(4, 2, epochs=2)
    calm, tight = pair(kit, bench), pair(kit, bench)
    undisturbed = kit.run(bench.base, calm, 2, train, validation, protocol)
    batch_source = SmallDevice(limit=2, error=error)
    seen = kit.run(bench.base, tight, 2, train, validation, protocol, batch_source=batch_source)
    assert [c.state for c in tight] == [RunState.COMPLETE] * 2
    np.testing.assert_allclose(outcome(tight), outcome(calm), rtol=1e-4)
    for candidate in calm:
        assert seen.step_nlls[candidate.id] == pytest.approx(
            undisturbed.step_nlls[candidate.id], rel=1e-4
        )
    # 2 slots x 4 rows, then x 2, then x 1: two notes, each with what is done now.
    assert undisturbed.notes == []
    assert len(seen.notes) == 2
    assert "lora, prompt" in seen.notes[0]
    assert "2 rows" in seen.notes[0] and "4 times" in seen.notes[0]
    assert "1 rows" in seen.notes[1] and "8 times" in seen.notes[1]


def test_no_memory_for_one_row_is_an_error(kit: Kit, bench: Bench) -> None:
    train, validation = kit.plan(8), kit.plan(4, seed=7)
    batch_source = SmallDevice(limit=1)
    with pytest.raises(OutOfMemoryError, match="one row"):
        kit.run(
            bench.base,
            pair(kit, bench),
            2,
            train,
            validation,
            protocol_of(4, 2),
            batch_source=batch_source,
        )


def test_other_errors_are_not_taken_for_memory(kit: Kit, bench: Bench) -> None:
    class Broken(TokenSource):
        def losses(
            self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            raise RuntimeError("sizes do not match")

    train, validation = kit.plan(8), kit.plan(4, seed=7)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        kit.run(
            bench.base,
            pair(kit, bench),
            2,
            train,
            validation,
            protocol_of(),
            batch_source=Broken(CPU),
        )


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[float]]:
    """Validation NLLs a token, by slot, that replace the real ones."""
    plans: dict[int, list[float]] = {}

    def validate(
        cohort: Cohort, slot: int, batch_source: object, plan: BatchPlan, **options: object
    ) -> NDArray[np.float64]:
        nll = plans[slot].pop(0)
        return np.asarray(plan.target_counts * nll, dtype=np.float64)

    monkeypatch.setattr("bakeoff.engine.train.example_nlls", validate)
    return plans


class Snapshots:
    """Keeps the slot's tensors at the end of each of its epochs."""

    def __init__(self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by_epoch: list[Tensors] = []
        self.cohort: Cohort | None = None
        original = recorder.on_epoch

        def on_epoch(candidate: Candidate) -> None:
            assert self.cohort is not None
            self.by_epoch.append(self.cohort.take(0))
            original(candidate)

        monkeypatch.setattr(recorder, "on_epoch", on_epoch)
        enter = Cohort.__enter__

        def remember(cohort: Cohort) -> Cohort:
            self.cohort = cohort
            return enter(cohort)

        monkeypatch.setattr(Cohort, "__enter__", remember)


@pytest.mark.parametrize(
    ("vals", "patience", "num_epochs", "best", "state"),
    [
        ([3.0, 2.0, 2.5, 2.1, 1.0], 2, 4, 2, RunState.STOPPED),
        ([3.0, 2.0, 2.0, 1.9, 1.9], 2, 5, 4, RunState.COMPLETE),
        ([3.0, 3.0, 1.0, 1.0, 1.0], 1, 2, 1, RunState.STOPPED),
        ([1.0, 2.0, 3.0, 4.0, 5.0], None, 5, 1, RunState.COMPLETE),
        ([5.0, 4.0, 3.0, 2.0, 1.0], 1, 5, 5, RunState.COMPLETE),
        # Patience runs out in the last epoch: all epochs were run, so nothing was stopped.
        ([5.0, 4.0, 3.0, 3.5, 3.6], 2, 5, 3, RunState.COMPLETE),
    ],
)
def test_patience_and_the_best_epochs_tensors(
    kit: Kit,
    bench: Bench,
    planned: dict[int, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    vals: list[float],
    patience: int | None,
    num_epochs: int,
    best: int,
    state: RunState,
) -> None:
    planned[0] = list(vals)
    candidate = kit.candidate(bench.method("soft_prompt", prompt_length=2), 1e-2)
    recorder = kit.recorder()
    snapshots = Snapshots(recorder, monkeypatch)
    protocol = protocol_of(8, epochs=5, patience=patience)
    plan = kit.plan(8)
    kit.run(bench.base, [candidate], 1, plan, plan, protocol, observer=recorder)
    assert candidate.state is state
    assert candidate.best_epoch == best
    assert candidate.best_val_nll == pytest.approx(vals[best - 1])
    assert [e.epoch for e in candidate.epochs] == list(range(1, num_epochs + 1))
    assert [e.val_nll for e in candidate.epochs] == pytest.approx(vals[:num_epochs])
    assert recorder.epochs == [("candidate", n) for n in range(1, num_epochs + 1)]
    assert recorder.ended == ["candidate"]
    if state is RunState.STOPPED:
        assert candidate.reason is not None
        assert f"{patience} epochs after epoch {best}" in candidate.reason
    else:
        assert candidate.reason is None
    assert candidate.tensors is not None
    [kept], saved = candidate.tensors.values(), snapshots.by_epoch
    assert torch.equal(kept, next(iter(saved[best - 1].values())))
    if best != num_epochs:
        assert not torch.equal(kept, next(iter(saved[-1].values())))


class Bounded(SaveNothing):
    """Keeps where each epoch begins, and fails where there are more than so many of them."""

    def __init__(self, most: int) -> None:
        self.most, self.begun = most, list[Position]()

    def between_epochs(self, position: Callable[[], Position]) -> None:
        assert len(self.begun) < self.most
        self.begun.append(position())


def test_all_that_are_seated_are_judged_after_each_epoch(kit: Kit, bench: Bench) -> None:
    candidates, saver, plan = pair(kit, bench), Bounded(most=2), kit.plan(8)
    protocol, seen = protocol_of(8, epochs=2), kit.recorder()
    trainer = Trainer(bench.base, TokenSource(CPU), plan, plan, protocol, seen, 2, saver=saver)
    trainer.run(candidates)
    assert seen.epochs == [(c.id, number) for number in (1, 2) for c in candidates]
    assert [one.seated for one in saver.begun] == [candidates] * 2
    assert {(one.step, *one.train_nll, *one.train_tokens) for one in saver.begun} == {(0,) * 5}


class Inside(SaveNothing):
    """Keeps a moment of training as a checkpoint would: after so many steps and validations."""

    def __init__(self, chance: int) -> None:
        self.chance, self.kept = chance, list[Position]()

    def between_steps(self, position: Callable[[], Position]) -> None:
        self.chance -= 1
        if self.chance == 0:
            now = position()
            seated = [replace(c, epochs=list(c.epochs)) for c in now.seated]
            self.kept.append(replace(now, seated=seated))


def test_a_seat_that_has_diverged_keeps_its_place_among_its_kind_where_training_goes_on(
    kit: Kit, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours of one kind are computed in one piece, which rounds as one piece."""
    lora, other = bench.method("lora", rank=3), bench.method("ia3")
    candidates = [
        kit.candidate(method, rate, seed=seed, id=f"c{seed}")
        for seed, (method, rate) in enumerate(
            [(lora, 1e-2), (lora, 1e30), (lora, 3e-3), (other, 1e-2)]
        )
    ]
    plans, protocol = (kit.plan(16), kit.plan(8, seed=7)), protocol_of(8, epochs=3)
    # An epoch has two steps and four validations: this is after the first step of the second.
    saver = Inside(chance=2 + 4 + 1)
    source, slots = TokenSource(CPU), len(candidates)
    Trainer(bench.base, source, *plans, protocol, kit.recorder(), slots, saver=saver).run(
        candidates
    )
    groups, acting = set[tuple[int, ...]](), SlotGroups.acting

    def spy(self: SlotGroups, rows: int) -> Any:
        if torch.is_grad_enabled():
            groups.add(self.counts)
        return acting(self, rows)

    monkeypatch.setattr(SlotGroups, "acting", spy)
    [start] = saver.kept
    assert (start.step, start.seated[1].state) == (1, RunState.DIVERGED)
    Trainer(bench.base, source, *plans, protocol, kit.recorder(), slots).run([], start)
    assert groups == {(3, 1)}
    for whole, resumed in zip(candidates, start.seated, strict=True):
        assert [e.val_nll for e in resumed.epochs] == [e.val_nll for e in whole.epochs]
        for name, tensor in (whole.tensors or {}).items():
            assert resumed.tensors is not None and torch.equal(resumed.tensors[name], tensor)


def test_a_validation_that_is_not_finite_is_divergence(
    kit: Kit, bench: Bench, planned: dict[int, list[float]]
) -> None:
    """The epoch before it stays the best one."""
    planned[0] = [2.0, float("nan")]
    candidate = kit.candidate(bench.method("soft_prompt", prompt_length=2), 1e-2)
    plan = kit.plan(8)
    seen = kit.run(bench.base, [candidate], 1, plan, plan, protocol_of(8, epochs=5))
    assert candidate.state is RunState.DIVERGED
    assert candidate.reason is not None and "epoch 2" in candidate.reason
    assert len(candidate.epochs) == candidate.best_epoch == 1
    assert candidate.tensors is not None
    assert seen.ended == ["candidate"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "constant", "warmup_ratio": 0.0}, [1.0] * 6),
        ({"warmup_ratio": 0.0}, [1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "constant", "warmup_ratio": 0.5}, [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0]),
        ({"schedule": "cosine", "warmup_ratio": 0.0}, [1.0, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
        (
            {"schedule": "cosine", "warmup_ratio": 1 / 3},
            [0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466],
        ),
    ],
)
def test_rates_over_the_updates_of_all_epochs(
    kit: Kit,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    expected: list[float],
) -> None:
    """What the optimizer is given, and what the observer is told: the same rate."""
    used: list[float] = []
    original = train_step

    def spy(*args: Any) -> tuple[Tensor, Tensor]:
        used.append(args[4].item())
        return original(*args)

    monkeypatch.setattr("bakeoff.engine.train.train_step", spy)
    candidate = kit.candidate(bench.method("soft_prompt", prompt_length=2), 0.02)
    protocol = protocol_of(8, epochs=3, **options)
    seen = kit.run(bench.base, [candidate], 1, kit.plan(12), kit.plan(4, seed=7), protocol)
    assert used == pytest.approx([0.02 * factor for factor in expected])
    assert seen.step_rates["candidate"] == used


def seeded_run(
    kit: Kit, bench: Bench, seed: int, kind: str, **options: Any
) -> tuple[Candidate, list[float]]:
    candidate = kit.candidate(bench.method(kind, **options), 1e-2, seed=seed)
    protocol = protocol_of(4, 2, epochs=2)
    seen = kit.run(bench.base, [candidate], 1, kit.plan(20), kit.plan(5, seed=7), protocol)
    return candidate, seen.step_nlls["candidate"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(kit: Kit, bench: Bench) -> None:
    (one, one_steps), (again, again_steps), (other, other_steps) = (
        seeded_run(kit, bench, seed, "lora", rank=2) for seed in (3, 3, 4)
    )
    assert one_steps == again_steps
    assert outcome([one]) == outcome([again])
    assert one.tensors is not None and again.tensors is not None and other.tensors is not None
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, again.tensors[name])
        assert not torch.equal(tensor, other.tensors[name])
    assert one_steps != other_steps


def test_another_seed_brings_another_order(kit: Kit, bench: Bench) -> None:
    """Where nothing is drawn for the initial tensors, the first loss tells the examples apart."""
    [one, other] = [
        seeded_run(kit, bench, seed, "soft_prompt", prompt_length=2, init="Sum up")[1]
        for seed in (3, 4)
    ]
    assert one[0] != pytest.approx(other[0], rel=1e-6)


def test_a_step_weighs_all_its_tokens_alike(kit: Kit, bench: Bench) -> None:
    """The NLL reported for an epoch is the mean over its tokens, not over its steps."""
    plan = kit.plan(11, rows_per_step=4)
    candidate = kit.candidate(bench.method("soft_prompt", prompt_length=2), 0.0)
    protocol = protocol_of(4, epochs=1, weight_decay=0.0)
    kit.run(bench.base, [candidate], 1, plan, plan, protocol)
    # At a rate of zero nothing moves, so training and validation see the same candidate.
    [record] = candidate.epochs
    assert record.train_nll == pytest.approx(record.val_nll, rel=1e-5)


def test_rows_of_empty_slots_are_idle(kit: Kit, bench: Bench) -> None:
    """A cohort with an empty slot trains its candidate as a full one does, and gives no gradient
    to the empty one."""
    plan = kit.plan(16)
    protocol = protocol_of(4, 2, epochs=2)
    outcomes = []
    for num_slots in (1, 3):
        candidate = kit.candidate(bench.method("lora", rank=2), 1e-2)
        kit.run(bench.base, [candidate], num_slots, plan, plan, protocol)
        outcomes.append(outcome([candidate]))
    np.testing.assert_allclose(outcomes[1], outcomes[0], rtol=1e-5)


def test_batch_sources_see_micro_batches_of_one_width(kit: Kit, bench: Bench) -> None:
    """Slots with different orders still share each step's rectangle."""
    shapes: list[set[tuple[int, ...]]] = []

    class Watching(TokenSource):
        def pack(self, plan: BatchPlan, batches: Sequence[MicroBatch]) -> Packed:
            shapes.append({batch.input_ids.shape for batch in batches})
            return super().pack(plan, batches)

    train = kit.plan(40, prompt=(4, 60), max_length=72)
    kit.run(
        bench.base,
        pair(kit, bench),
        2,
        train,
        kit.plan(4, seed=7),
        protocol_of(4, 2, epochs=1),
        batch_source=Watching(CPU),
    )
    assert all(len(found) == 1 for found in shapes)
    assert len(set().union(*shapes)) >= 3
