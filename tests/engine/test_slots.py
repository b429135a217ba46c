"""How many candidates sit in one pass by themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.engine import slots
from bakeoff.engine.slots import (
    MOST_SLOTS,
    SATURATING_TOKENS,
    auto_slots,
    joined_rows,
    useful_slots,
)
from bakeoff.methods.contract import ExecutionPath

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def base(device: torch.device = CPU) -> Any:
    return SimpleNamespace(
        device=device,
        width=64,
        vocabulary=512,
        compute_dtype=torch.float32,
        config=SimpleNamespace(num_hidden_layers=4),
    )


def method(
    execution_path: ExecutionPath = ExecutionPath.BASE,
    num_trainable: int = 1000,
    kind: str = "lora",
) -> Any:
    return SimpleNamespace(execution_path=execution_path, num_trainable=num_trainable, kind=kind)


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_a_pass_is_filled_and_no_more(device: torch.device) -> None:
    full = SATURATING_TOKENS[device.type]
    assert useful_slots(device, full) == 1
    assert useful_slots(device, full - 1) == 2
    assert useful_slots(device, full / 8) == 8
    assert useful_slots(device, 100 * full) == 1
    assert useful_slots(device, 0) == MOST_SLOTS


def test_the_seeds_study_gets_eight_on_a_gpu() -> None:
    assert useful_slots(CUDA, 16 * 256) == 8


def test_memory_limits_what_would_be_useful(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(free: int) -> int:
        monkeypatch.setattr(slots, "free_bytes", lambda device: free)
        return auto_slots(base(), [method()], 512)

    assert found(1 << 40) == 8
    counts = [found(1 << power) for power in range(10, 40)]
    assert counts == sorted(counts) and counts[0] == 1 and set(counts) > {1, 8}


def test_a_slot_has_room_for_every_kind_of_its_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "free_bytes", lambda device: 1 << 30)
    large = 5_000_000
    two = [method(num_trainable=large), method(num_trainable=large // 2)]
    mixed = [*two, method(num_trainable=large, kind="dora")]
    assert auto_slots(base(), two, 16) == auto_slots(base(), two[:1], 16)
    assert auto_slots(base(), mixed, 16) < auto_slots(base(), two, 16)


def test_short_rows_make_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "free_bytes", lambda device: 1 << 40)
    assert auto_slots(base(), [method()], 2048, 512.0) == 8


def test_a_base_of_its_own_sits_alone() -> None:
    assert auto_slots(base(), [method(ExecutionPath.OWN_BASE)], 16) == 1


@pytest.mark.parametrize(
    ("num_slots", "steps", "num_rows", "rows"),
    [
        *((1, 4, 1000, 16), (8, 4, 1000, 16), (16, 4, 1000, 8), (32, 4, 1000, 4)),
        *((10, 5, 1000, 4), (10, 6, 1000, 12), (1, 1, 1000, 4), (1, 64, 1000, 128)),
        *((1, 8, 16, 16), (1, 8, 15, 16), (1, 8, 3, 4)),
    ],
)
def test_small_micro_batches_share_a_pass_on_a_gpu(
    num_slots: int, steps: int, num_rows: int, rows: int
) -> None:
    """Up to 32,768 tokens, and never so that a pass is padded."""
    shape = {
        **{"num_slots": num_slots, "row_tokens": 256, "num_rows": num_rows},
        **{"micro_batch_size": 4, "grad_accum_steps": steps},
    }
    one = joined_rows(CUDA, **shape)
    assert one == rows and (4 * steps) % one == 0
    assert num_slots * one * 256 <= SATURATING_TOKENS["cuda"]
    assert joined_rows(CPU, **shape) == 4
    assert joined_rows(CUDA, **{**shape, "row_tokens": 1_000_000}) == 4


def test_a_large_head_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of a chunk are there for each slot, in what is trained on hidden states, too."""
    monkeypatch.setattr(slots, "free_bytes", lambda device: 1 << 30)
    wide = base()
    wide.vocabulary = 250_000
    assert auto_slots(wide, [method(ExecutionPath.HIDDEN_STATES)], 16) < auto_slots(
        base(), [method(ExecutionPath.HIDDEN_STATES)], 16
    )
