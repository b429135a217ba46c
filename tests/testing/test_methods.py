"""The shipped contract of methods, over the methods that bakeoff brings.

``tests/methods/test_contract.py`` asks more of them, on more bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from bakeoff.base.model import Base
from bakeoff.methods import registry
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.ia3 import Ia3, Ia3Stack
from bakeoff.methods.registry import METHODS
from bakeoff.methods.stack import Stack, StackHooks
from bakeoff.testing import MethodContract
from bakeoff.testing.passes import small_base

VOCABULARY, WIDTH = 257, 64
SMALLER: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2, "target_modules": "all-linear"},
    "dora": {"rank": 3},
    "soft_prompt": {"prompt_length": 5},
    "p_tuning": {"prompt_length": 3, "hidden": 5},
    "prefix": {"prefix_length": 4},
    "bottleneck": {"reduction_factor": 8.0},
    "bitfit": {"norms": True},
    "last_layers": {"head": False},
    "ia3": {"target_modules": ["c_proj"], "feedforward_modules": ["c_proj"]},
}


class BuiltIn(MethodContract):
    """One of bakeoff's own."""

    def num_parameters(self, base: Base) -> int | None:
        counts = {
            "head": VOCABULARY * WIDTH,
            "soft_prompt": 20 * WIDTH,
            "full": sum(p.numel() for p in base.source.model.parameters()),
        }
        return counts.get(self.kind)


for _kind, _spec in METHODS.items():
    if _spec.family_option is None:
        _name = f"Test{_kind.title().replace('_', '')}"
        _parts = {"kind": _kind, "smaller": SMALLER.get(_kind, {}), "__module__": __name__}
        globals()[_name] = type(_name, (BuiltIn,), _parts)


class TestPeft(BuiltIn):
    kind = "peft"
    options: ClassVar[dict[str, Any]] = {
        "peft_type": "LOHA",
        "r": 2,
        "target_modules": "all-linear",
    }


def test_no_method_is_left_out() -> None:
    tested = {cls.kind for name, cls in globals().items() if name.startswith("Test")}
    assert tested == set(METHODS)


class Leaky(Ia3Stack):
    """Every slot gets the first slot's factors."""

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        return super().hooks([0] * len(slots))


class Late(Ia3):
    """Starts elsewhere than the base, counts too little and draws outside of its generator."""

    def initial(self, generator: torch.Generator) -> Tensors:
        return {name: 1.0 + 0.1 * torch.rand(s) for name, s in self.shapes.items()}

    @property
    def num_trainable(self) -> int:
        return 1

    def load(self, folder: Path) -> Tensors:
        return {name: tensor + 1e-7 for name, tensor in super().load(folder).items()}


Case = tuple[type[Method], type[Stack], str]
DEFECTS: list[Case] = [
    (Ia3, Leaky, "test_slots_keep_to_themselves"),
    (Ia3, Leaky, "test_together_it_trains_as_alone"),
    (Late, Ia3Stack, "test_it_starts_as_the_untuned_base"),
    (Late, Ia3Stack, "test_its_start_follows_from_the_seed"),
    (Late, Ia3Stack, "test_it_counts_its_parameters"),
    (Late, Ia3Stack, "test_what_is_saved_comes_back_to_the_bit"),
]


@pytest.mark.parametrize("case", DEFECTS, ids=lambda case: f"{case[0].__name__}-{case[2]}")
def test_a_defect_is_found(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    method, stack, test = case
    monkeypatch.setitem(registry._registered, "defect", (method, stack))
    monkeypatch.setattr(method, "kind", "defect", raising=False)

    class Contract(MethodContract):
        kind = "defect"

    contract = Contract()
    built = contract.made(small_base(contract.base), {})
    arguments: list[Any] = [tmp_path] if "saved" in test else []
    with pytest.raises(AssertionError):
        getattr(contract, test)(built, *arguments)
