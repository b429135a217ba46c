"""Costs in turns: who is timed when, from what, and what the figures say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.base.model import Base
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.workbench import Workbench
from bakeoff.measure import rounds, timing
from bakeoff.measure.dry_run import seated
from bakeoff.measure.plain import PlainBase, labelled, time_plain_epoch, why_not_plain
from bakeoff.measure.repeated import FEWEST, median_interval
from bakeoff.measure.rounds import has_room_for_another, time_methods
from bakeoff.measure.timing import Budget
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import load_plain, open_workbench
from bakeoff.study.study import Study

METHODS = {"lora": {"rank": 2}, "soft": {"kind": "soft_prompt", "prompt_length": 3}, "head": {}}
EPOCH = {"train": 2.0, "validation": 1.0, "first_epoch_extra": 0.0, "measured_steps": 1}


@pytest.fixture
def study(place: Path, small: Callable[..., dict[str, Any]]) -> Study:
    return study_from_mapping(small(methods=METHODS), folder=place)


@pytest.fixture
def bench(study: Study) -> Workbench:
    return open_workbench(study, "cpu")


@pytest.fixture
def adapters(bench: Workbench, place: Path) -> dict[str, Path]:
    """Adapters whose tensors no fresh candidate has."""
    found = {}
    for name in METHODS:
        method = bench.methods[name][""]
        tensors = method.initial(torch.Generator().manual_seed(7))
        found[name] = place / "adapters" / name
        found[name].mkdir(parents=True)
        method.save({key: tensor + 0.5 for key, tensor in tensors.items()}, found[name])
    return found


class TestMedianInterval:
    @pytest.mark.parametrize("size", [6, 9, 12, 20])
    def test_it_holds_the_median_as_often_as_said_whatever_the_distribution(
        self, size: int
    ) -> None:
        rng, held = np.random.default_rng(0), 0
        for _ in range(2000):
            _, low, high = median_interval(rng.lognormal(0.0, 1.0, size).tolist())
            held += low <= 1.0 <= high
        assert 0.945 <= held / 2000 <= 0.99

    def test_few_repeats_give_all_that_they_span(self) -> None:
        assert median_interval([3.0]) == (3.0, 3.0, 3.0)
        assert median_interval([5.0, 1.0, 2.0, 9.0, 4.0]) == (4.0, 1.0, 9.0)

    def test_one_wild_repeat_of_nine_moves_nothing(self) -> None:
        calm = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
        assert median_interval([*calm, 1.8]) == median_interval([*calm, 1e6])


class TestTurns:
    def test_methods_take_turns_and_each_round_begins_with_another(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken, starts = [], []

        def epoch(bench: Any, method: Any, *_: Any, start: float, **__: Any) -> dict[str, Any]:
            taken.append(method.kind)
            starts.append(start)
            return EPOCH | {"mean": 3.0 + len(taken), "epoch_steps": 4}

        monkeypatch.setattr(rounds, "time_epoch", epoch)
        found = time_methods(bench, ["lora", "head"], rounds=3)
        assert taken == ["lora", "head", "head", "lora", "lora", "head"]
        assert starts == pytest.approx([0.0, 0.0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
        lora = found["lora"]["epoch_seconds"]
        assert (lora["mean"], lora["low"], lora["high"]) == (7.0, 4.0, 8.0)
        assert (lora["measured_steps"], lora["epoch_steps"]) == (3, 4)
        assert found["lora"]["repeats"] == 3

    def test_the_trained_adapter_is_what_is_timed(
        self, bench: Workbench, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[bool, Any]] = []

        def spy(bench: Any, method: Any, *, trains: bool = False, tensors: Any = None) -> Any:
            seen.append((trains, tensors))
            return seated(bench, method, trains=trains, tensors=tensors)

        monkeypatch.setattr(timing, "seated", spy)
        time_methods(bench, ["lora"], adapters=adapters, rounds=1)
        kept = bench.methods["lora"][""].load(adapters["lora"])
        assert {trains for trains, _ in seen} == {True, False}
        for _, tensors in seen:
            assert all(torch.equal(tensors[name], kept[name]) for name in kept)

    def test_a_method_that_fails_leaves_the_others_theirs(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        time_epoch = timing.time_epoch

        def epoch(bench: Any, method: Any, *more: Any, **options: Any) -> Any:
            if method.kind == "head":
                raise ValueError("no such thing")
            return time_epoch(bench, method, *more, **options)

        monkeypatch.setattr(rounds, "time_epoch", epoch)
        found = time_methods(bench, ["head", "lora"], sample=Budget(train=0.0, evaluation=0.0))
        assert found["head"]["error"] == "ValueError: no such thing"
        assert "Traceback" in found["head"]["traceback"]
        assert found["lora"]["repeats"] == FEWEST >= 5

    def test_where_memory_runs_out_rows_are_halved(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = []
        time_epoch = timing.time_epoch

        def epoch(bench: Any, method: Any, rows: int, *more: Any, **options: Any) -> Any:
            tried.append(rows)
            if rows > 1:
                raise MemoryError
            return time_epoch(bench, method, rows, *more, **options)

        monkeypatch.setattr(rounds, "time_epoch", epoch)
        found = time_methods(bench, ["lora"], rounds=2, rows={"lora": 4})
        assert tried == [4, 2, 1, 1] and found["lora"]["micro_batch_size"] == 1

    def test_samples_shorten_so_that_the_time_is_kept(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, budgets = 0.0, []

        def epoch(bench: Any, method: Any, rows: Any, budget: Budget, **_: Any) -> dict[str, Any]:
            nonlocal now
            budgets.append(budget.train + budget.evaluation)
            now += 0.5 + budgets[-1]  # half a second of start-up
            return EPOCH | {"mean": 3.0, "epoch_steps": 4}

        monkeypatch.setattr(rounds, "time_epoch", epoch)
        monkeypatch.setattr(rounds, "time_generation", lambda *_: 1.0)
        monkeypatch.setattr(rounds, "token_latency", lambda *_, **__: 0.01)
        options = {"rounds": 6, "sample": Budget(train=40.0, evaluation=20.0)}
        time_methods(bench, ["lora", "head"], seconds=12.0, clock=lambda: now, **options)  # type: ignore[arg-type]
        assert len(budgets) == 12 and now == pytest.approx(12.0, rel=0.1)
        now, budgets[:] = 0.0, []
        time_methods(bench, ["lora", "head"], seconds=1.0, clock=lambda: now, **options)  # type: ignore[arg-type]
        assert len(budgets) == 12 and budgets[-1] == 0.0
        now, budgets[:] = 0.0, []
        time_methods(bench, ["lora", "head"], clock=lambda: now, **options)  # type: ignore[arg-type]
        assert budgets == pytest.approx([10.0] * 12)

    def test_warming_up_is_in_no_figure(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first generation in a process takes a thousand seconds more."""
        numbers, cold = count(), [1000.0]
        extra = 0.0

        def slow(*arguments: Any, **options: Any) -> Any:
            nonlocal extra
            found = generate(*arguments, **options)
            extra += cold.pop() if cold else 0.0
            return found

        monkeypatch.setattr(timing, "generate", slow)
        monkeypatch.setattr(timing, "clock", lambda: 0.25 * next(numbers) + extra)
        method = bench.methods["lora"][""]
        assert timing.token_latency(bench, method) == 0.25
        cold.append(1000.0)
        assert timing.time_generation(bench, method, 2) == pytest.approx(2 / 0.25)
        assert not cold


class TestPlainLoop:
    def test_its_loss_is_the_engines(self, bench: Workbench, study: Study) -> None:
        plan = bench.plans["validation"]
        batch = next(iter(plan.in_length_order(4)))
        given = labelled(plan, batch, torch.device("cpu"))
        with torch.no_grad():
            found = load_plain(study)(**given).loss
            embeds = bench.base.embedding(given["input_ids"])
            positions = torch.arange(embeds.shape[1])[None].expand(embeds.shape[:2])
            hidden = bench.base.hidden_states(embeds, positions)
            logits = bench.base.head(hidden.reshape(-1, hidden.shape[-1]))
            chosen = logits[torch.from_numpy(batch.source)]
            expected = torch.nn.functional.cross_entropy(chosen, torch.from_numpy(batch.targets))
        assert found.item() == pytest.approx(expected.item(), abs=1e-4)

    def test_it_trains_the_adapter_and_leaves_the_base_as_it_was(
        self, bench: Workbench, study: Study, adapters: dict[str, Path]
    ) -> None:
        loads = []

        def load() -> Any:
            loads.append(1)
            return load_plain(study)

        plain = PlainBase(load, torch.device("cpu"), torch.float32)
        ids = torch.arange(1, 9)[None]
        budget = Budget(train=0.0, evaluation=0.0)
        expected = load_plain(study)(ids).logits
        for name in ("lora", "soft", "lora"):
            with plain.tuned(adapters[name]) as model:
                trained = {n for n, p in model.named_parameters() if p.requires_grad}
                assert trained and all("lora_" in n or "prompt_encoder" in n for n in trained)
                if name == "lora":
                    assert not torch.allclose(model(input_ids=ids).logits, expected, atol=1e-3)
                seen: list[int] = []
                model.register_forward_pre_hook(
                    lambda _, __, given, seen=seen: seen.append(len(given["input_ids"])),
                    with_kwargs=True,
                )
                assert time_plain_epoch(bench, model, 4, budget) > 0.0
                assert seen == [2, 4, 4]  # to warm up, to train, to validate
            assert plain._model is not None
            assert torch.equal(plain._model(ids).logits, expected)
        assert loads == [1]

    def test_what_peft_does_not_know_has_none(
        self, bench: Workbench, study: Study, adapters: dict[str, Path]
    ) -> None:
        sample = Budget(train=0.0, evaluation=0.0)
        found = time_methods(
            bench,
            list(METHODS),
            adapters=adapters,
            plain_model=lambda: load_plain(study),
            sample=sample,
        )
        assert found["head"]["plain_epoch_seconds"] is None
        assert found["head"]["no_plain_reason"] == "PEFT does not know this method"
        for name in ("lora", "soft"):
            seconds = found[name]["plain_epoch_seconds"]
            assert 0.0 < seconds["low"] <= seconds["mean"] <= seconds["high"]
            assert found[name]["no_plain_reason"] is None
        without = time_methods(bench, ["lora"], rounds=1, sample=sample)["lora"]
        assert without["no_plain_reason"] == "the plain loop was not asked for"
        lora = bench.methods["lora"][""]
        assert why_not_plain(lora, None) == "no trained adapter was left"

    def test_a_plain_loop_that_fails_leaves_the_methods_own_figures(
        self, bench: Workbench, adapters: dict[str, Path]
    ) -> None:
        def load() -> Any:
            raise OSError("no room")

        found = time_methods(
            bench,
            ["lora"],
            adapters=adapters,
            plain_model=load,
            sample=Budget(train=0.0, evaluation=0.0),
        )["lora"]
        assert found["plain_epoch_seconds"] is None and found["repeats"] == FEWEST
        assert found["no_plain_reason"] == "OSError: no room"

    def test_a_card_without_room_for_a_second_base_has_none(
        self, bench: Workbench, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside it the engine's own rows would be halved."""
        asked: list[int] = []

        def has_room(base: Base, peak_bytes: int) -> bool:
            asked.append(peak_bytes)
            return False

        monkeypatch.setattr(rounds, "has_room_for_another", has_room)
        found = time_methods(
            bench,
            ["lora"],
            adapters=adapters,
            plain_model=lambda: pytest.fail("it is loaded"),
            peaks={"lora": 8, "soft": 9},
            rounds=1,
            sample=Budget(train=0.0, evaluation=0.0),
        )["lora"]
        assert asked == [9]
        assert "error" not in found and found["plain_epoch_seconds"] is None
        assert "no room for a second base" in found["no_plain_reason"]

    def test_room_is_what_the_largest_method_takes_once_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rounds, "free_bytes", lambda device: 1000)
        card: Any = SimpleNamespace(device=torch.device("cuda"))
        cpu: Any = SimpleNamespace(device=torch.device("cpu"))
        assert [has_room_for_another(card, peak) for peak in (900, 990)] == [True, False]
        assert has_room_for_another(cpu, 990)
