"""Moments in 8 bits: bitsandbytes' numbers, an eighth of the memory, taken up again to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bakeoff.config import dump_yaml
from bakeoff.engine.moments import BLOCK, NUM_SPARE, EightBitMoment, dynamic_values
from bakeoff.engine.optimizer import Part, SlotAdamW
from bakeoff.measure.traced import Predictor
from bakeoff.runs.reading import read_results
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.execution.rank_process import run_study
from tests.studies import small_study

CPU = torch.device("cpu")
SIZE = 20 * BLOCK + 17
ALL = slice(0, 1)


def optimizer(num_slots: int = 1, num_values: int = SIZE, **options: object) -> SlotAdamW:
    made = SlotAdamW(
        num_slots,
        num_values,
        device=CPU,
        max_grad_norm=None,
        **{"states": "8bit", **options},  # type: ignore[arg-type]
    )
    for slot in range(num_slots):
        made.reset(slot, weight_decay=0.1)
    return made


def stepped(made: SlotAdamW, grads_TKn: Tensor) -> None:
    rates_K = torch.full((len(made.values_Kn),), 1e-2, dtype=torch.float64)
    for grads_Kn in grads_TKn:
        made.grads_Kn.copy_(grads_Kn)
        made.step(rates_K, torch.zeros(len(made.values_Kn)))


def drawn(*shape: int) -> Tensor:
    """Gradients of very different sizes, some of them zero."""
    draw = torch.Generator().manual_seed(3)
    scale = 10.0 ** torch.randint(-4, 1, shape, generator=draw)
    found = torch.randn(shape, generator=draw) * scale
    found[..., ::7] = 0
    return found


def test_parts_are_updated_whole() -> None:
    """Blocks of 8 bits cross the borders of what slots train."""
    whole, limited = optimizer(2), optimizer(2)
    limited.limit_to([Part(slots=slice(0, 1), numbers=slice(5, 300))])
    grads_TKn = drawn(3, 2, SIZE)
    stepped(whole, grads_TKn)
    stepped(limited, grads_TKn)
    assert torch.equal(whole.values_Kn, limited.values_Kn)


@pytest.mark.parametrize("is_signed", [True, False])
def test_values_and_blocks_are_those_of_bitsandbytes(is_signed: bool) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    code = functional.create_dynamic_map(signed=is_signed)
    assert torch.equal(dynamic_values(is_signed=is_signed), code)
    value_n = drawn(SIZE) if is_signed else drawn(SIZE).abs()
    moment = EightBitMoment(1, SIZE, CPU, is_signed=is_signed)
    whole_n = torch.nn.functional.pad(value_n, (0, -SIZE % BLOCK))
    spare = [torch.empty_like(whole_n) for _ in range(NUM_SPARE)]
    moment.write(ALL, slice(0, SIZE), whole_n, torch.ones(1, dtype=torch.bool), spare)
    ours_n = moment.read(ALL, slice(0, SIZE), torch.empty_like(whole_n), spare)[0]
    packed, state = functional.quantize_blockwise(value_n, code=code, blocksize=BLOCK)
    theirs_n = functional.dequantize_blockwise(packed, state)
    # On a CPU the library looks its codes up in a coarse table, so that ours are the nearer ones.
    error_n, theirs_n = (ours_n - value_n).abs(), (theirs_n - value_n).abs()
    assert (error_n - theirs_n).max() < 2e-6
    assert error_n.mean() > 0.9 * theirs_n.mean() > 0
    assert (ours_n == 0).equal(value_n == 0)
    assert torch.equal(torch.sign(ours_n)[ours_n != 0], torch.sign(value_n)[ours_n != 0])


def test_updates_are_those_of_bitsandbytes() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    draw = torch.Generator().manual_seed(5)
    start_n, grads_TKn = (
        torch.linspace(-1, 1, SIZE),
        1e-2 * torch.randn(20, 1, SIZE, generator=draw),
    )
    made = optimizer()
    made.values_Kn[0] = start_n
    stepped(made, grads_TKn)
    parameter = torch.nn.Parameter(start_n.clone())
    theirs = bitsandbytes.optim.AdamW8bit([parameter], lr=1e-2, weight_decay=0.1)
    for grads_Kn in grads_TKn:
        parameter.grad = grads_Kn[0].clone()
        theirs.step()
    gap_n = (made.values_Kn[0] - parameter.detach()).abs()
    moved_n = (parameter.detach() - start_n).abs()
    assert moved_n.mean() > 1e-2
    # A number between two codes may go to either, and goes on from there.
    assert gap_n.mean() < 1e-3 * moved_n.mean()
    whole = optimizer(states="32bit")
    whole.values_Kn[0] = start_n
    stepped(whole, grads_TKn)
    ours, others = (
        (values_n - whole.values_Kn[0]).abs().mean()
        for values_n in (made.values_Kn[0], parameter.detach())
    )
    assert 0 < ours < 1.1 * others


def test_they_stay_near_32_bits_and_slots_stay_apart() -> None:
    grads_TKn = drawn(20, 3, SIZE)
    eight, whole = optimizer(3), optimizer(3, states="32bit")
    for made in (eight, whole):
        stepped(made, grads_TKn)
    close = (eight.values_Kn - whole.values_Kn).abs().mean() / whole.values_Kn.abs().mean()
    assert close < 0.1
    alone = optimizer()
    stepped(alone, grads_TKn[:, 1:2])
    assert torch.equal(alone.values_Kn[0], eight.values_Kn[1])


def test_a_slot_that_does_not_update_keeps_its_bytes() -> None:
    made = optimizer(2)
    stepped(made, drawn(3, 2, SIZE))
    before = {name: row.clone() for name, row in made.moments(1).items()}
    made.vacate(1)
    stepped(made, drawn(2, 2, SIZE))
    assert all(torch.equal(row, before[name]) for name, row in made.moments(1).items())


def test_training_goes_on_to_the_bit_and_elsewhere_nearly() -> None:
    grads_TKn = drawn(8, 1, SIZE)
    made = optimizer()
    stepped(made, grads_TKn[:4])
    same, moved = optimizer(), optimizer(num_values=SIZE + 40)
    for other, shift in ((same, 0), (moved, 40)):
        place = slice(shift, shift + SIZE)
        other.values_Kn[0, place] = made.values_Kn[0]
        rows = other.moments(0)
        for name, row_n in made.moments(0).items():
            rows[name][place] = row_n
        other.set_moments(0, rows)
        other.set_counters(0, made.counters(0))
    stepped(made, grads_TKn[4:])
    stepped(same, grads_TKn[4:])
    assert torch.equal(same.values_Kn, made.values_Kn)
    padded = torch.nn.functional.pad(grads_TKn, (40, 0))
    stepped(moved, padded[4:])
    # Other numbers share a scale there.
    gap_n = (moved.values_Kn[0, 40:] - made.values_Kn[0]).abs()
    assert gap_n.mean() < 5e-3


def study_of(place: Path, states: str) -> Path:
    # Two sizes in one cohort, so that blocks lie across tensors that are cut.
    methods = {"lora": {"rank": 4}, "lora2": {"kind": "lora", "rank": 3}}
    protocol = {"epochs": 2, "optimizer_states": states}
    content = small_study(methods=methods, protocol=protocol)
    content["task"] = {"kind": "text", "source": "rows", "text": "text", "max_length": 64}
    del content["generation"]
    (place / "study.yaml").write_text(dump_yaml(content), encoding="utf-8")
    return place / "study.yaml"


def test_a_study_stops_and_goes_on_to_the_bit(place: Path) -> None:
    file = study_of(place, "8bit")
    assert run_study(file, place / "whole") == 0
    assert run_study(file, place / "cut", 3) == 143
    assert run_study(file, place / "cut") == 0
    results = read_results(place / "whole")
    assert results.status == "complete"
    for name in results.candidates:
        weights = Path("candidates") / name / "adapter" / "adapter_model.safetensors"
        whole, cut = load_file(place / "whole" / weights), load_file(place / "cut" / weights)
        assert all(torch.equal(tensor, cut[key]) for key, tensor in whole.items())


def test_the_plan_counts_them(place: Path) -> None:
    held = {}
    for states in ("32bit", "8bit"):
        content = small_study(
            base="scratch:tiny-llama",
            methods={"full": {}},
            protocol={"optimizer_states": states},
        )
        bench = open_workbench(study_from_mapping(content, folder=place), "cpu", meta=True)
        held[states] = Predictor(bench).training(bench.entries[0], "", 2).held_bytes
    numbers = bench.methods["full"][""].num_trainable
    saved = held["32bit"] - held["8bit"]
    # Two bytes and two shares of a scale, where there were eight bytes.
    assert saved == pytest.approx((8 - 2 - 8 / BLOCK) * numbers, rel=0.01)
