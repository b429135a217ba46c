"""Bases that are not here, by their configuration alone: what fits which card, and long rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bakeoff.engine.workbench import Workbench
from bakeoff.measure.cards import CARDS, Card
from bakeoff.measure.dry_run import dry_run
from bakeoff.measure.plan import predictor_for
from bakeoff.measure.traced import Predictor
from bakeoff.measure.tracing import traced
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench

pytest.importorskip("bitsandbytes")

TINY = {"hidden_size": 64, "intermediate_size": 128, "layers": 3, "heads": 4, "vocab_size": 50_000}
EIGHT_B = {"hidden_size": 4096, "intermediate_size": 14336, "layers": 32, "heads": 32}
SEVENTY_B = {"hidden_size": 8192, "intermediate_size": 28672, "layers": 80, "heads": 64}


def bench_of(place: Path, shape: dict[str, int], *, rows: int, tokens: int) -> Workbench:
    """A study of NF4 LoRA of rank 16 over Llama of that shape, its rows all of one length."""
    base, data = place / "base", place / "long"
    base.mkdir()
    data.mkdir()
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": shape.get("vocab_size", 128_256),
        "hidden_size": shape["hidden_size"],
        "intermediate_size": shape["intermediate_size"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"] // 4,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for split in ("train", "validation", "test"):
        texts = [f"{split} {number} " + "many words " * 800 for number in range(4)]
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        (data / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    study = {
        "name": "large",
        "base": str(base),
        "task": {"kind": "text", "source": str(data), "text": "text", "max_length": tokens},
        "protocol": {"epochs": 1, "seeds": 1, "micro_batch_size": rows, "grad_accum_steps": 1},
        "methods": {"qlora": {"kind": "lora", "rank": 16}},
        "quantization": "nf4",
        "slots": 1,
        "engine": {"gradient_checkpointing": True},
    }
    return open_workbench(study_from_mapping(study, folder=place), "cpu", meta=True)


def peaks(predictor: Predictor, bench: Workbench, card: Card, rows: int) -> list[int]:
    """Bytes beside the base at the peak of training, with one slot and with two."""
    entry, found = bench.entries[0], []
    for num_slots in (1, 2):
        with traced(predictor._world, gpu=card.profile()):
            shapes, method = predictor._meta(entry, "", bench)
            trace = predictor._trace(predictor._base_of(entry))
            stages: dict[str, int] = {}

            def done(stage: Any, trace: Any = trace, stages: dict[str, int] = stages) -> None:
                stages[stage] = trace.peak_bytes
                trace.begin()

            with trace:
                dry_run(shapes, method, rows, num_slots=num_slots, done=done)
        found.append(max(stages["training"], stages["validation"]))
    return found


def assert_slots_add_their_own_alone(bench: Workbench, card: Card, rows: int) -> float:
    """A further slot costs no more than the first, whose unpacked layer all share.

    Returns:
        The share of the card that one slot leaves free.
    """
    predictor = predictor_for(bench, card)
    alone = predictor.training(bench.entries[0], "", rows)
    one, two = peaks(predictor, bench, card, rows)
    assert one == alone.slot_bytes
    assert two - one <= one
    assert alone.tokens == rows * bench.task.max_length
    return 1 - alone.reserved_bytes / card.usable_bytes


def test_a_further_slot_costs_its_own_alone(place: Path) -> None:
    bench = bench_of(place, TINY, rows=2, tokens=256)
    assert assert_slots_add_their_own_alone(bench, CARDS["RTX4090"], 2) > 0.9


@pytest.mark.soak
def test_eight_billion_in_four_bits_fit_24_gb(place: Path) -> None:
    bench = bench_of(place, EIGHT_B, rows=4, tokens=1024)
    assert assert_slots_add_their_own_alone(bench, CARDS["RTX4090"], 4) >= 0.2


@pytest.mark.soak
def test_seventy_billion_in_four_bits_fit_80_gb(place: Path) -> None:
    bench, card = bench_of(place, SEVENTY_B, rows=1, tokens=512), CARDS["A100-80GB"]
    predictor = predictor_for(bench, card)
    found = predictor.training(bench.entries[0], "", 1)
    assert found.base_bytes > 35e9
    assert found.reserved_bytes <= card.usable_bytes


class Largest(TorchDispatchMode):
    """Watches how many numbers the largest tensor has that any operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [t.numel() for t in tree_iter(result) if isinstance(t, Tensor) and not func.is_view]
        self.numbers = max([self.numbers, *made])
        return result


@pytest.mark.parametrize(
    "gpu", [pytest.param(None, marks=pytest.mark.soak), CARDS["RTX4090"]], ids=["cpu", "gpu"]
)
def test_rows_of_8192_tokens_never_meet_the_vocabulary_at_once(
    place: Path, gpu: Card | None
) -> None:
    tokens = 8192
    bench = bench_of(place, TINY, rows=1, tokens=tokens)
    predictor = predictor_for(bench, gpu) if gpu else Predictor(bench, dtype=torch.bfloat16)
    with traced(predictor._world, gpu=gpu.profile() if gpu else None):
        shapes, method = predictor._meta(bench.entries[0], "", bench)
        largest = Largest()
        with largest:
            dry_run(shapes, method, 1)
    vocabulary = TINY["vocab_size"]
    assert max(bench.plans["train"].widths) == tokens
    # One chunk's logits are the most; embedding and head are as large for a few hundred tokens.
    assert 32 * vocabulary <= largest.numbers <= 256 * vocabulary
    assert largest.numbers < tokens * vocabulary / 16
