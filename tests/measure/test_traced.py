"""What is predicted from shapes is what the real passes hold."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.profiler import ProfilerActivity, profile

from bakeoff.base.attention import windows
from bakeoff.base.devices import GpuProfile
from bakeoff.base.injection import linear_shape
from bakeoff.engine.loss import chunk_tokens
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.step import train_step
from bakeoff.engine.workbench import Workbench
from bakeoff.files import folder_bytes
from bakeoff.measure.dry_run import (
    dry_run,
    seated,
    stand_in_batch_source,
    widest_batch,
    widest_step,
    write_summaries,
)
from bakeoff.measure.needs import Need, recomputing_of
from bakeoff.measure.remedies import shortened
from bakeoff.measure.traced import Predictor, most_demanding
from bakeoff.measure.tracing import Trace
from bakeoff.methods.registry import METHODS
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench

FLOAT = 4
GPU = GpuProfile(is_ampere=True)
ROWS = 2
VARIANTS: dict[str, dict[str, Any]] = {
    **{kind: {"kind": kind} for kind, spec in METHODS.items() if spec.family_option is None},
    "soft_prompt": {"kind": "soft_prompt", "prompt_length": 12},
    "peft": {"kind": "peft", "peft_type": "LOHA", "r": 4},
    "head_tied": {"kind": "head", "tied": True},
    "lora_all": {"kind": "lora", "target_modules": "all-linear", "rank": 4},
}

OF_EACH_SORT = ("head", "lora", "dora", "soft_prompt", "prefix", "bottleneck", "full", "peft")
SOME_VARIANTS = [
    pytest.param(name, marks=[] if name in OF_EACH_SORT else pytest.mark.soak) for name in VARIANTS
]
"""What methods of one sort share is asked of one of each; of all of them under ``make soak``."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps the engine from handing rows to threads of its own, which a trace does not see."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Every method on a small base, opened once: tracing must leave it as it is."""
    from tests.studies import small_study, write_rows

    folder = tmp_path_factory.mktemp("predict")
    write_rows(folder / "rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        return open_workbench(
            study_from_mapping(small_study(methods=VARIANTS), folder=folder), "cpu"
        )


@pytest.fixture(scope="module")
def predictor(bench: Workbench) -> Predictor:
    return Predictor(bench)


def entry_of(bench: Workbench, name: str) -> Any:
    return next(entry for entry in bench.entries if entry.name == name)


@pytest.mark.parametrize("name", SOME_VARIANTS)
def test_traced_bytes_are_those_of_the_real_passes(
    bench: Workbench, predictor: Predictor, name: str
) -> None:
    with one_thread():
        predicted = predictor.training(entry_of(bench, name), "", ROWS)
    with one_thread():
        peak = allocated_at_the_peak(lambda: dry_run(bench, bench.methods[name][""], ROWS))
    assert predicted.slot_bytes == pytest.approx(peak, rel=0.06)
    assert predicted.rows == ROWS


def allocated_at_the_peak(work: Callable[[], object]) -> int:
    """The most bytes that PyTorch's allocator had handed out inside, as its profiler says it."""
    work()  # what is made once, such as masks, is not a pass's own
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    moves = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = most = 0
    for _, num_bytes in sorted(moves):
        held += num_bytes
        most = max(most, held)
    return most


def test_the_base_is_counted_once_in_float32(bench: Workbench, predictor: Predictor) -> None:
    model = bench.base.model
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert predictor.base_bytes == FLOAT * model.num_parameters() + buffers
    low = Predictor(bench, dtype=torch.bfloat16)
    assert low.base_bytes == pytest.approx(0.5 * predictor.base_bytes)  # no float32 copy is kept
    gpu = Predictor(bench, dtype=torch.bfloat16, gpu=GPU)
    assert gpu.base_bytes == pytest.approx(0.5 * predictor.base_bytes)


def test_full_tuning_holds_four_numbers_a_parameter(bench: Workbench, predictor: Predictor) -> None:
    found = predictor.training(entry_of(bench, "full"), "", ROWS)
    states = 4 * FLOAT * bench.methods["full"][""].num_trainable
    # The private copy's own weights are views of the optimizer's, its buffers are not.
    assert states <= found.held_bytes <= 1.05 * states
    assert found.slot_bytes > found.held_bytes


def test_workers_hold_gradients_of_their_own(bench: Workbench, predictor: Predictor) -> None:
    entry, method = entry_of(bench, "lora"), bench.methods["lora"][""]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(predictor.training(entry, "", ROWS).slot_bytes)
    finally:
        torch.set_num_threads(before)
    assert found[1] - found[0] == 3 * FLOAT * method.num_trainable


def test_more_rows_hold_more(bench: Workbench, predictor: Predictor) -> None:
    entry = entry_of(bench, "lora")
    one, four = (predictor.training(entry, "", rows) for rows in (1, 4))
    assert one.held_bytes == four.held_bytes
    assert one.slot_bytes < four.slot_bytes
    assert one.tokens * 4 == four.tokens


def test_what_is_asked_again_is_not_traced_again(bench: Workbench, predictor: Predictor) -> None:
    entry = entry_of(bench, "lora")
    predictor.known.clear()
    found = predictor.training(entry, "", ROWS)
    assert predictor.training(entry, "", ROWS) == found
    assert predictor.training(entry, "", ROWS, study=bench) == found
    assert len(predictor.known) == 1
    assert predictor.training(entry, "", 1) != found
    changed = recomputing_of(bench)
    assert predictor.training(entry, "", ROWS, study=changed) != found
    assert len(predictor.known) == 3
    # Another predictor of the same rows takes what this one has traced, but its own base.
    other = Predictor(changed, known=predictor.known)
    assert other.training(entry, "", ROWS) == predictor.training(entry, "", ROWS, study=changed)
    assert len(predictor.known) == 3
    # Shorter rows are other passes.
    shorter = predictor.training(entry, "", ROWS, study=shortened(bench, 32))
    assert shorter.tokens < found.tokens and len(predictor.known) == 3


def test_arithmetic_of_a_step_is_that_of_the_shapes(bench: Workbench, predictor: Predictor) -> None:
    """Forward and backward of every frozen product, and of the head on whole chunks."""
    work = predictor.training(entry_of(bench, "soft_prompt"), "", ROWS)
    layers = bench.base.linear_layers().values()
    inner = sum(prod(linear_shape(layer)) for layer in layers)
    positions = work.tokens + ROWS * bench.methods["soft_prompt"][""].extra_positions
    plan = bench.plans["train"]
    step = widest_step(plan, bench.protocol.seed_list[0], ROWS)
    supervised = sum(batch.num_supervised for batch in plan.micro_batches(step, ROWS))
    size = chunk_tokens(bench.base.device)
    head = -(-supervised // size) * size * bench.base.vocabulary * bench.base.width
    products = 2 * 2 * (positions * inner + head)
    found = sum(work.training.flops.values())
    assert products < found < 1.5 * products  # attention is what is left


def test_writing_grows_with_the_tokens_asked_for(bench: Workbench, predictor: Predictor) -> None:
    found = predictor.writing(entry_of(bench, "lora"), "", ROWS)
    assert found.peak_bytes > predictor.base_bytes
    assert 0 < found.further.operations <= found.first.operations
    trace = Trace((bench.base.model, bench.base.source.model))
    with one_thread(), trace, seated(bench, bench.methods["lora"][""]) as cohort:
        write_summaries(bench, cohort, ROWS, bench.generation.max_new_tokens)
    whole = trace.peak_bytes + predictor.base_bytes
    assert found.peak_bytes == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("name", SOME_VARIANTS)
def test_tracing_leaves_nothing_behind(bench: Workbench, predictor: Predictor, name: str) -> None:
    """No fake tensor stays in a cache where training would find it and compute nothing."""
    modules = [type(module) for module in bench.base.model.modules()]
    before = losses_of(bench, name)
    windows._band_masks.clear()  # as in a process that has not trained yet
    predictor.known.clear()
    predictor.training(entry_of(bench, name), "", ROWS)
    predictor.writing(entry_of(bench, name), "", ROWS)
    assert [type(module) for module in bench.base.model.modules()] == modules
    after = losses_of(bench, name)
    assert not isinstance(after, FakeTensor)
    assert torch.equal(before, after)


def losses_of(bench: Workbench, name: str) -> torch.Tensor:
    """Each token's loss in the widest validation batch, after real passes of all kinds."""
    plan = bench.plans["validation"]
    method = bench.methods[name][""]
    batch_source = stand_in_batch_source(bench, method.execution_path)
    with seated(bench, method, trains=True) as cohort:
        rates = torch.tensor([1e-3], dtype=torch.float64)
        step = widest_step(bench.plans["train"], 0, ROWS)
        train_step(cohort, batch_source, bench.plans["train"], [step], rates, ROWS)
        with torch.no_grad():
            return batch_source.losses(cohort, batch_source.pack(plan, [widest_batch(plan, ROWS)]))[
                1
            ]


@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "full"])
def test_adapter_bytes_are_those_on_disk(
    bench: Workbench, predictor: Predictor, name: str, tmp_path: Path
) -> None:
    method = bench.methods[name][""]
    method.save(method.initial(torch.Generator().manual_seed(0)), tmp_path / "adapter")
    weights = sum(f.stat().st_size for f in (tmp_path / "adapter").glob("*.safetensors"))
    assert predictor.adapter_bytes(entry_of(bench, name), "") == pytest.approx(weights, rel=0.1)
    assert weights <= folder_bytes(tmp_path / "adapter") < weights + 4096


def test_the_variant_that_trains_most_is_planned_for(
    small: Callable[..., dict[str, Any]], place: Path
) -> None:
    study = study_from_mapping(
        small(methods={"lora": {"rank": [2, 16, 4]}}, search={"learning_rates": 3, "seeds": 1}),
        folder=place,
    )
    bench = open_workbench(study, "cpu")
    label, method = most_demanding(bench, bench.entries[0])
    assert label == "rank16"
    assert method is not None and method.options.rank == 16


@pytest.fixture(scope="module")
def on_gpu(bench: Workbench) -> Predictor:
    return Predictor(bench, dtype=torch.float16, gpu=GPU)


@pytest.mark.parametrize("name", SOME_VARIANTS)
def test_a_gpus_pass_is_traced_without_one(bench: Workbench, on_gpu: Predictor, name: str) -> None:
    """State and gradients are the least, whatever is computed; no method is left out."""
    found = on_gpu.training(entry_of(bench, name), "", ROWS)
    states = 4 * FLOAT * bench.methods[name][""].num_trainable
    assert found.slot_bytes > found.held_bytes >= states
    assert found.reserved_bytes >= found.peak_bytes == on_gpu.base_bytes + found.slot_bytes
    assert on_gpu.writing(entry_of(bench, name), "", ROWS).peak_bytes > on_gpu.base_bytes


def test_full_tuning_on_a_gpu_holds_masters_and_one_block_of_the_optimizer(
    bench: Workbench, on_gpu: Predictor
) -> None:
    """Neither a copy of the state, nor the small blocks of a CPU."""
    found = on_gpu.training(entry_of(bench, "full"), "", ROWS)
    values = FLOAT * bench.methods["full"][""].num_trainable
    assert 4 * values <= found.held_bytes <= 4.2 * values
    # Two temporary tensors of an update's block, which is all of so small a base.
    assert 6 * values <= found.slot_bytes < 7 * values + _chunk_bytes(bench)


def _chunk_bytes(bench: Workbench) -> int:
    """Logits of one chunk of a GPU, in float32 and rounded, and as much in passing."""
    return 4 * 256 * bench.base.vocabulary * FLOAT


def test_a_gpus_chunks_are_larger(bench: Workbench, predictor: Predictor) -> None:
    gpu = Predictor(bench, dtype=torch.float32, gpu=GPU)
    here, there = (p.training(entry_of(bench, "head"), "", ROWS) for p in (predictor, gpu))
    more = (256 - chunk_tokens(bench.base.device)) * bench.base.vocabulary * FLOAT
    assert there.slot_bytes - here.slot_bytes > more
    assert there.training.flops[torch.float32] > here.training.flops[torch.float32]


def test_validation_counts_beside_a_captured_update(bench: Workbench, on_gpu: Predictor) -> None:
    entry = entry_of(bench, "lora")
    captured = on_gpu.training(entry, "", ROWS)
    plain_bench = replace(bench, engine=EngineOptions(cuda_graph=False))
    plain_bench.__dict__["plans"] = bench.plans
    plain = Predictor(plain_bench, dtype=torch.float16, gpu=GPU).training(entry, "", ROWS)
    assert captured.beside_bytes > 0 == plain.beside_bytes
    need = Need(entry=entry, label="", alone=captured, slots=3)
    assert need.bytes == (captured.base_bytes + 3 * captured.slot_bytes + captured.beside_bytes)
    assert need.fitting_slots(need.bytes) == 3
    assert need.fitting_slots(need.bytes - 1) == 2


def test_writing_on_a_gpu_fills_rows_up_and_has_room_for_all_tokens(
    bench: Workbench, on_gpu: Predictor
) -> None:
    entry = entry_of(bench, "lora")
    peaks = {rows: on_gpu.writing(entry, "", rows).peak_bytes for rows in (1, 2, 3, 4)}
    assert len(bench.data.splits["test"]) == 4
    assert peaks[1] < peaks[2] < 0.8 * peaks[3]
    assert peaks[3] == pytest.approx(peaks[4], rel=0.05)
    long_bench = replace(bench, generation=replace(bench.generation, max_new_tokens=300))
    long_bench.__dict__["plans"] = bench.plans
    more = Predictor(long_bench, dtype=torch.float16, gpu=GPU).writing(entry, "", 4)
    config: Any = bench.base.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = bench.base.embedding_width // config.num_attention_heads
    position = 2 * 2 * config.num_hidden_layers * heads * width
    wanted = bench.generation.max_new_tokens
    grown = (300 - wanted - 64) * 4 * position
    assert more.peak_bytes - peaks[4] > grown
