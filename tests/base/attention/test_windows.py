"""Sliding windows: the kernel that knows them is trusted only where it computes what the mask says.

There is no such kernel on a CPU: what is tested is how it is called, against its documentation.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPTNeoConfig

from bakeoff.base.attention import windows
from bakeoff.base.attention.windows import (
    band_mask,
    knows_windows,
    prepare_windows,
    windowed_attention,
)

CPU = torch.device("cpu")


def documented(shift: int = 0, **changes: Any) -> Any:
    """What the flash kernel is documented to compute: keys from ``i - left`` to ``i + right``."""

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cum_seq_q: None,
        cum_seq_k: None,
        max_q: int,
        max_k: int,
        dropout_p: float,
        is_causal: bool,
        return_debug_mask: bool,
        *,
        scale: float | None,
        window_size_left: int,
        window_size_right: int,
    ) -> tuple[Tensor, ...]:
        assert (max_q, max_k, dropout_p, is_causal) == (query.shape[1], key.shape[1], 0.0, True)
        if "error" in changes:
            raise changes["error"]
        place = torch.arange(max_q)
        ahead = place[None] - place[:, None]
        mask = (ahead >= -window_size_left - shift) & (ahead <= window_size_right)
        output = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
            scale=scale,
            enable_gqa=True,
        )
        if changes.get("wrong_gradient"):
            output = output.detach() + 0 * query.transpose(1, 2)
        return output.transpose(1, 2), torch.zeros(()), torch.zeros(()), torch.zeros(())

    return forward


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_trusted", {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("width", [8, 64])
def test_a_kernel_that_does_as_documented_is_trusted(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, width: int
) -> None:
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", documented())
    assert knows_windows(CPU, dtype, width)


@pytest.mark.parametrize(
    "kernel",
    [
        documented(shift=1),
        documented(shift=-1),
        documented(wrong_gradient=True),
        documented(error=RuntimeError("no kernel for this card")),
        documented(error=NotImplementedError()),
        lambda query, key, value: query,
    ],
    ids=["one more", "one less", "gradient", "refuses", "missing", "other arguments"],
)
def test_a_kernel_that_differs_is_not(monkeypatch: pytest.MonkeyPatch, kernel: Any) -> None:
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", kernel)
    assert not knows_windows(CPU, torch.bfloat16, 16)


def test_this_machines_own_operator_is_tried_without_harm() -> None:
    assert knows_windows(CPU, torch.bfloat16, 16) in (True, False)


@pytest.mark.parametrize(("dtype", "trusted"), [(torch.bfloat16, True), (torch.float32, False)])
def test_heads_of_a_base_on_a_gpu_are_tried_once(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, trusted: bool
) -> None:
    tried: list[tuple[torch.dtype, int]] = []

    def knows(device: torch.device, dtype: torch.dtype, width: int) -> bool:
        tried.append((dtype, width))
        return True

    monkeypatch.setattr(windows, "knows_windows", knows)
    config = GPTNeoConfig(hidden_size=48, num_layers=2, attention_types=[[["local"], 2]])
    config.num_heads = 4
    for _ in range(2):
        prepare_windows(config, torch.device("cuda"), dtype)
        prepare_windows(config, CPU, dtype)
    assert tried == ([(dtype, 12)] if trusted else [])


def test_on_a_cpu_the_mask_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_trusted", {(torch.bfloat16, 8): True})
    draw = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 2, 9, 8, generator=draw).bfloat16() for _ in range(3))
    found = windowed_attention(query, key, value, scaling=None, window=4)
    mask = band_mask(9, 4, CPU)
    assert mask.sum().item() == 1 + 2 + 3 + 6 * 4
    assert torch.equal(found, F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
