"""``benchmarks/roofline.py``: what it counts, and what it takes the longest of."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import pytest
import torch


def test_an_operation_takes_its_longest_part(module: Callable[[str], ModuleType]) -> None:
    roofline = module("roofline")
    bounds = roofline.Bounds(roofline.card_named("H100"))
    # 989 TFLOP/s in 16 bits, 67 in float32, 3,350 GB/s; 40 and 70 % of them.
    assert bounds.cost(989e12 * 0.4, 0.0, torch.bfloat16) == pytest.approx(1.0)
    assert bounds.cost(67e12 * 0.4, 0.0, torch.float32) == pytest.approx(1.0)
    assert bounds.cost(1.0, 3350e9 * 0.7, torch.bfloat16) == pytest.approx(1.0)
    assert bounds.cost(1.0, 1.0, torch.bfloat16) == 8e-6
    assert bounds.seconds == pytest.approx({"arithmetic": 2.0, "memory": 1.0, "starts": 8e-6})
    assert bounds.captured["arithmetic"] + bounds.captured["memory"] == pytest.approx(3.0)


def test_an_update_of_lora_has_a_row(
    module: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--base", "tiny", "--method", "lora", "--slots", "1", "2", "--rows", "2")
    module("roofline").main([*arguments, "--length", "32", "--supervised", "8"])
    *shown, last = capsys.readouterr().out.splitlines()
    one, two = json.loads(last)["updates"]
    assert len(shown) == 5 and "lora" in shown[3]
    assert 1.9 < two["teraflop"] / one["teraflop"] < 2.1
    assert one["operations"] <= two["operations"] < 1.2 * one["operations"]
    assert one["captured_ms"] < one["eager_ms"]


@pytest.mark.parametrize("method", ["lora", "head", "full"])
def test_all_products_have_operands_of_16_bits(
    method: str, module: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--base", "tiny", "--method", method, "--slots", "1", "--rows", "2")
    module("roofline").main([*arguments, "--length", "32", "--supervised", "8"])
    [update] = json.loads(capsys.readouterr().out.splitlines()[-1])["updates"]
    assert update["teraflop"] > 0 and update["float32_share"] == 0.0
