"""What every method keeps to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.registry import method_type, spec_of, stack_type
from bakeoff.methods.stack import Stack
from bakeoff.methods.switcher import Switcher
from bakeoff.testing.passes import (
    logits_of,
    small_base,
    some_ids,
    token_logits,
    trained,
    untuned_logits,
)

_TOGETHER = 1e-5
_UNTUNED = 1e-6
_MERGED = 1e-4
_MOVED = 1e-3
_PLAIN = {".safetensors", ".json", ".txt", ".jinja", ".model"}


class MethodContract:
    """Inherit it and name a kind that is registered or installed.

    Attributes:
        kind: the method's. options: as a study gives them.
        smaller: options that give another size, so that slots of one cohort differ; empty where
            the method has one size only.
        base: one that needs no network.
        rate: of the updates, one that every tensor moves at.
        starts_untuned: whether a candidate computes what the base does before its first update;
            vectors before the tokens do not.
    """

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    smaller: ClassVar[Mapping[str, Any]] = {}
    base: ClassVar[str] = "scratch:tiny-gpt-neo"
    rate: ClassVar[float] = 1e-3
    starts_untuned: ClassVar[bool] = True

    @pytest.fixture
    def small(self) -> Base:
        """The base that methods are made on; no test may change it."""
        return small_base(self.base)

    @pytest.fixture
    def method(self, small: Base) -> Method:
        """The method with ``options``."""
        return self.made(small, self.options)

    def made(self, base: Base, options: Mapping[str, Any]) -> Method:
        """The method on a base."""
        kind = method_type(self.kind, where="kind")
        return kind(kind.read_options(options, path="options"), base, where="options")

    def num_parameters(self, base: Base) -> int | None:
        """How many parameters the method has on a base by its paper's formula; None if no one
        has worked it out."""
        return None

    def initial(self, method: Method, seed: int = 1) -> Tensors:
        """What a candidate starts from."""
        return method.initial(torch.Generator().manual_seed(seed))

    def moved(self, method: Method, seed: int = 5) -> Tensors:
        """What a candidate may have come to: its start, moved by noise."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in method.initial(generator).items()
        }

    def test_it_says_what_it_is(self, method: Method) -> None:
        spec = spec_of(self.kind, where="kind")
        assert type(method).spec is spec and spec.kind == self.kind
        assert issubclass(stack_type(self.kind), Stack)
        for name in ("title", "paper", "formula", "learning_rate_source"):
            assert len(getattr(spec, name)) > 5, f"{name} of its spec says too little"
        assert 0 < spec.default_learning_rate < 1
        assert spec.trains_alone == (method.execution_path is ExecutionPath.OWN_BASE)
        overrides = type(method).merged_weights is not Method.merged_weights
        assert spec.mergeable == overrides, "mergeable, and merged_weights, say different things"

    def test_its_options_are_frozen_with_defaults(self, small: Base) -> None:
        options_type: Any = spec_of(self.kind, where="kind").options_type
        options = options_type()
        assert dataclasses.is_dataclass(options)
        for field in dataclasses.fields(options_type):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(options, field.name, None)
        with pytest.raises(ConfigError, match="no_such_option"):
            self.made(small, {**self.options, "no_such_option": 1})

    def test_its_start_follows_from_the_seed(self, method: Method) -> None:
        first = self.initial(method)
        assert {name: tuple(tensor.shape) for name, tensor in first.items()} == method.shapes
        assert list(first) == list(method.shapes)
        assert {tensor.dtype for tensor in first.values()} == {torch.float32}
        torch.rand(7)  # the process's own generator has no part in it
        _assert_same(self.initial(method), first)

    def test_it_starts_as_the_untuned_base(self, method: Method) -> None:
        ids_BT = some_ids(2)
        gap = (
            logits_of(method, self.initial(method), ids_BT) - untuned_logits(method.base, ids_BT)
        ).abs()
        if self.starts_untuned and not method.extra_positions:
            assert gap.max() <= _UNTUNED
        else:
            assert gap.max() > _UNTUNED, "it starts as the base: say so by starts_untuned"

    def test_it_counts_its_parameters(self, method: Method) -> None:
        tensors = self.initial(method)
        assert method.num_trainable == sum(tensor.numel() for tensor in tensors.values()) > 0
        stack = stack_type(self.kind)(method.base, [method], 1)
        assert stack.num_values >= method.num_trainable
        expected = self.num_parameters(method.base)
        assert expected is None or method.num_trainable == expected

    def test_training_changes_what_it_declares_and_nothing_else(self, method: Method) -> None:
        before = _state(method.base)
        start = self.initial(method)
        given = {name: tensor.clone() for name, tensor in start.items()}
        # Two updates: some factors have no gradient before others have moved.
        losses, [after] = trained([(method, start)], some_ids(3)[None], 10 * self.rate, 2)
        assert torch.isfinite(losses).all()
        assert list(after) == list(method.shapes)
        for name, tensor in after.items():
            assert torch.isfinite(tensor).all(), name
            assert not torch.equal(tensor, given[name]), f"{name} was not trained"
        _assert_same(start, given)
        _assert_same(_state(method.base), before)
        assert not any(p.requires_grad for p in method.base.model.parameters())

    def test_together_it_trains_as_alone(self, method: Method) -> None:
        if method.execution_path is ExecutionPath.OWN_BASE:
            pytest.skip("has no second slot")
        other = self.made(method.base, {**self.options, **self.smaller})
        seats = [(method, self.initial(method, 1)), (other, self.initial(other, 2))]
        ids_KBT = torch.stack([some_ids(3), some_ids(4)])
        together_UK, _ = trained(seats, ids_KBT, self.rate, 4)
        for slot, seat in enumerate(seats):
            alone_U1, _ = trained([seat], ids_KBT[slot : slot + 1], self.rate, 4)
            assert alone_U1[-1] < alone_U1[0], "the loss of the rows it trains on must fall"
            gap = (together_UK[:, slot] - alone_U1[:, 0]).abs().max()
            assert gap <= _TOGETHER, f"slot {slot}: {gap:.1e} nats per token"

    def test_slots_keep_to_themselves(self, method: Method) -> None:
        own_base = method.execution_path is ExecutionPath.OWN_BASE
        num_slots = 1 if own_base else 3
        other = self.made(method.base, {**self.options, **self.smaller})
        seats = [(method, self.moved(method, 6))]
        if not own_base:
            seats.append((other, self.moved(other, 7)))
        ids_BT = some_ids(2)
        untuned = untuned_logits(method.base, ids_BT)
        with (
            Cohort(method.base, [method] if own_base else [method, other], num_slots) as cohort,
            torch.no_grad(),
        ):
            for slot, seat in enumerate(seats):
                cohort.seat(slot, *seat)
            together_KBTV = token_logits(cohort, ids_BT.expand(num_slots, -1, -1))
            for slot, (_, tensors) in enumerate(seats):
                _assert_same(cohort.take(slot), tensors)
            cohort.vacate(0)
            after_KBTV = token_logits(cohort, ids_BT.expand(num_slots, -1, -1))
        for slot, seat in enumerate(seats):
            alone = logits_of(*seat, ids_BT)
            assert (alone - untuned).abs().max() > _MOVED
            assert (together_KBTV[slot] - alone).abs().max() <= _TOGETHER
        assert (after_KBTV[0] - untuned).abs().max() <= _TOGETHER, "an empty slot is the base"
        assert (together_KBTV[len(seats) :] - untuned).abs().le(_TOGETHER).all()

    def test_what_is_saved_comes_back_to_the_bit(self, method: Method, tmp_path: Path) -> None:
        tensors, ids_BT = self.moved(method), some_ids(2)
        method.save(tensors, tmp_path / "adapter")
        loaded = method.load(tmp_path / "adapter")
        _assert_same(loaded, method.stored(tensors))
        assert torch.equal(logits_of(method, loaded, ids_BT), logits_of(method, tensors, ids_BT))
        files = [path for path in (tmp_path / "adapter").rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= _PLAIN, "an adapter is safetensors beside JSON"

    def test_a_torn_adapter_is_refused_by_name(self, method: Method, tmp_path: Path) -> None:
        method.save(self.moved(method), tmp_path)
        weights = max(tmp_path.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
        whole = weights.read_bytes()
        for content in (whole[: len(whole) // 2], None):
            if content is None:
                weights.unlink()
            else:
                weights.write_bytes(content)
            with pytest.raises(CheckpointError, match=weights.name):
                method.load(tmp_path)

    def test_merged_it_computes_the_same(self, method: Method) -> None:
        tensors, ids_BT = self.moved(method), some_ids(2)
        if not method.spec.mergeable:
            with pytest.raises(ConfigError, match="options"):
                method.merged_weights(tensors)
            return
        before = _state(method.base)
        expected = logits_of(method, tensors, ids_BT)
        with Switcher(method.base).merged(method, method.stored(tensors)):
            gap = (untuned_logits(method.base, ids_BT) - expected).abs().max()
        assert gap <= _MERGED * max(1.0, float(expected.abs().max()))
        _assert_same(_state(method.base), before)


def _state(base: Base) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in base.model.named_parameters()}


def _assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
