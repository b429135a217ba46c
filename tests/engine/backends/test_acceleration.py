"""Compiled and recomputed layers compute the layers; one compilation serves them all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import config as dynamo_config
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.base.attention.cpu import SHORTEST
from bakeoff.base.attention.interface import asks_windows_always, windows_always
from bakeoff.base.compiled import compiled_layers, decoder_layers
from bakeoff.base.model import Base
from bakeoff.engine import acceleration as accelerate
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.worker_threads import worker_threads_of
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.recompute import recomputed_layers
from bakeoff.engine.train import Trainer
from bakeoff.methods.registry import METHODS

if TYPE_CHECKING:
    from bakeoff.methods.contract import Method
    from tests.engine.conftest import Bench, Kit

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "target_modules": ("q_proj", "v_proj")}),
    ("soft_prompt", {"prompt_length": 5}),
]
LORA_AND_PROMPT: list[tuple[str, dict[str, Any]]] = [("lora", {"rank": 3}), KINDS[1]]
PROMPTS: list[tuple[str, dict[str, Any]]] = [KINDS[1], ("soft_prompt", {"prompt_length": 3})]
COMPILED = [KINDS[0], ("lora", {"rank": 2, "target_modules": ("q_proj",)})]
MORE_KINDS = [*KINDS, ("prefix", {"prefix_length": 4}), ("lora", {"rank": 2, "dropout": 0.5})]


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture
def counting() -> Counting:
    torch._dynamo.reset()
    return Counting()


def seated(bench: Bench, kinds: list[tuple[str, dict[str, Any]]]) -> Cohort:
    """A cohort with one slot a kind, as after some training."""
    methods = [bench.method(kind, **options) for kind, options in kinds]
    cohort = Cohort(bench.base, methods, len(methods), ProtocolOptions())
    for slot in range(len(methods)):
        seat(cohort, slot, methods[slot], slot)
    return cohort


def seat(cohort: Cohort, slot: int, method: Method, seed: int) -> None:
    drawn = method.initial(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(100 + seed)
    tensors = {n: t + 0.1 * torch.randn(t.shape, generator=generator) for n, t in drawn.items()}
    cohort.seat(slot, method, tensors, seed)


def trained(cohort: Cohort, rows: int, tokens: int) -> Tensor:
    """All gradients of one pass over random rows."""
    assert cohort.optimizer is not None
    cohort.optimizer.zero_grad()
    generator = torch.Generator().manual_seed(rows * tokens)
    ids = torch.randint(1, 200, (cohort.num_slots, rows, tokens), generator=generator)
    with cohort.training_pass(torch.tensor(0), rows):
        cohort.hidden_states(ids)[0].square().sum().backward()
    return cohort.optimizer.grads_Kn.clone()


@torch.no_grad()
def evaluated(cohort: Cohort, slot: int, rows: int, tokens: int) -> Tensor:
    """Hidden states of one slot alone."""
    generator = torch.Generator().manual_seed(rows * tokens)
    ids = torch.randint(1, 200, (1, rows, tokens), generator=generator)
    with cohort.only([slot]):
        return cohort.hidden_states(ids)[0]


def gradients(
    bench: Bench,
    kinds: list[tuple[str, dict[str, Any]]],
    context: Callable[[Base], AbstractContextManager[object]],
    shapes: tuple[tuple[int, int], ...] = ((3, 12),),
) -> tuple[Tensor, Tensor]:
    """(hidden states of the last shape, all gradients) of a cohort with one slot a kind."""
    cohort = seated(bench, kinds)
    generator = torch.Generator().manual_seed(7)
    with cohort, context(bench.base):
        for rows, tokens in shapes:
            ids = torch.randint(1, 200, (len(kinds), rows, tokens), generator=generator)
            with cohort.training_pass(torch.tensor(0), rows):
                hidden, _ = cohort.hidden_states(ids)
                hidden.square().sum().backward()
    assert cohort.optimizer is not None
    return hidden.detach(), cohort.optimizer.grads_Kn.clone()


class Counting:
    """A backend of ``torch.compile`` that runs the graph as it is and counts."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: Any, inputs: Any) -> Any:
        self.graphs += 1
        return module.forward


def course(
    bench: Bench,
    kinds: list[tuple[str, dict[str, Any]]],
    context: AbstractContextManager[object],
    counting: Counting | None = None,
) -> tuple[list[Tensor], list[int]]:
    """(what each pass of a cohort's course gives, graphs compiled by the end of each part)."""
    found: list[Tensor] = []
    graphs: list[int] = []
    cohort = seated(bench, kinds)

    def part(*passes: Tensor) -> None:
        found.extend(passes)
        graphs.append(counting.graphs if counting else 0)

    with cohort, context:
        part(trained(cohort, 3, 7))
        part(trained(cohort, 2, 9), trained(cohort, 4, 8))
        part(*(evaluated(cohort, k, 5, 7) for k in range(len(kinds))), evaluated(cohort, 0, 4, 9))
        part(trained(cohort, 3, 7))
        newcomer = cohort.seated[-1]
        assert newcomer is not None
        cohort.vacate(0)
        part(trained(cohort, 3, 7))
        seat(cohort, 0, newcomer, 17)
        part(trained(cohort, 3, 7), evaluated(cohort, 0, 5, 7))
    return found, graphs


@pytest.mark.parametrize(
    ("base_kind", "kinds"),
    [
        *(
            pytest.param(base_kind, LORA_AND_PROMPT, marks=pytest.mark.soak)
            for base_kind in ("gpt2", "gpt_neo", "llama", "opt")
        ),
        pytest.param("gpt_neo", COMPILED, marks=pytest.mark.soak),
        ("llama", PROMPTS),
    ],
)
def test_one_compilation_serves_training_and_one_evaluation(
    kit: Kit, counting: Counting, base_kind: str, kinds: list[tuple[str, dict[str, Any]]]
) -> None:
    """All layers, numbers of rows and of positions, and whoever sits in the slots."""
    bench = kit.bench(base_kind)
    assert len(decoder_layers(bench.base)) >= 2
    expected, _ = course(bench, kinds, nullcontext())
    found, graphs = course(bench, kinds, compiled_layers(bench.base, 15, counting), counting)
    assert graphs == [1, 1, 2, 2, 2, 2]
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert not bench.base.is_compiled


@pytest.mark.soak
def test_one_compilation_serves_any_number_of_slots(kit: Kit, counting: Counting) -> None:
    bench = kit.bench("llama")

    def graphs(num_slots: int, act: Callable[[Cohort], object]) -> int:
        before = counting.graphs
        cohort = seated(bench, (COMPILED * num_slots)[:num_slots])
        with cohort, compiled_layers(bench.base, 15, counting):
            act(cohort)
        return counting.graphs - before

    assert [graphs(k, lambda cohort: trained(cohort, 3, 7)) for k in (2, 3, 5)] == [1, 0, 0]
    assert [graphs(k, lambda cohort: evaluated(cohort, 0, 3, 7)) for k in (3, 1, 2)] == [1, 0, 0]
    # PyTorch compiles a size of one as a constant, so that a lone slot trains by code of its own,
    # and so do single rows of each slot.
    assert graphs(1, lambda cohort: trained(cohort, 3, 7)) == 1
    assert graphs(1, lambda cohort: trained(cohort, 2, 9)) == 0
    assert [graphs(k, lambda cohort: trained(cohort, 1, 8)) for k in (2, 3)] == [1, 0]


def test_sizes_of_several_slots_have_no_quotient(kit: Kit) -> None:
    """One in a size is in all indices that follow, and Inductor simplifies them for minutes."""
    sizes: set[str] = set()

    def reading(module: Any, inputs: Any) -> Any:
        found = [node.meta.get("example_value") for node in module.graph.nodes]
        sizes.update(str(size) for t in found if isinstance(t, Tensor) for size in t.shape)
        return module.forward

    bench = kit.bench("llama")
    torch._dynamo.reset()
    cohort = seated(bench, [("lora", {"rank": 3}), ("bitfit", {"norms": True})])
    with cohort, compiled_layers(bench.base, 15, reading):
        trained(cohort, 3, 7)
    symbols = {size for size in sizes if not size.isdigit()}
    assert any("*" in size for size in symbols), "the slots' rows and positions are a product"
    assert not [size for size in symbols if "//" in size]


def test_all_sites_have_one_number_of_slots(kit: Kit) -> None:
    """One each would have to be compared for every two that meet, by a compiler in symbols."""
    graphs: list[set[str]] = []

    def reading(module: Any, inputs: Any) -> Any:
        products = [node for node in module.graph.nodes if node.target is torch.bmm]
        graphs.append({str(node.meta["example_value"].shape[0]) for node in products})
        return module.forward

    bench = kit.bench("llama")
    torch._dynamo.reset()
    lora = ("lora", {"rank": 3, "target_modules": "all-linear"})
    with seated(bench, [lora, lora]) as cohort, compiled_layers(bench.base, 15, reading):
        trained(cohort, 3, 7)
    assert [len(slots) for slots in graphs] == [1]


def test_a_prefix_is_not_missed_by_what_was_compiled_without_one(
    kit: Kit, counting: Counting
) -> None:
    """In a thread that has never had one: nothing but the thread's state tells the two apart."""
    found: list[tuple[Tensor, Tensor]] = []

    def work() -> None:
        bench = kit.bench("llama")
        gradients(bench, [KINDS[1]], lambda base: compiled_layers(base, 12, counting))
        kinds: list[tuple[str, dict[str, Any]]] = [("prefix", {"prefix_length": 4})]
        found.append(gradients(bench, kinds, lambda base: compiled_layers(base, 12, counting)))
        found.append(gradients(bench, kinds, lambda base: nullcontext()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_what_watches_operations_sees_layers_as_they_are_written(kit: Kit) -> None:
    """What is compiled under such a mode, PyTorch would leave uncompiled from then on."""
    bench = kit.bench("llama")
    options = EngineOptions(compile=True, cuda_graph=False)

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func(*args, **(kwargs or {}))

    with seated(bench, COMPILED) as cohort:
        with Watching(), accelerated(cohort, 12, options):  # type: ignore[no-untyped-call]  # no types
            assert not bench.base.is_compiled
            trained(cohort, 3, 7)
        with accelerated(cohort, 12, options):
            assert bench.base.is_compiled


def test_a_whole_training_compiles_twice(
    kit: Kit, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for updates and once for validations, whatever the number of threads."""
    bench = kit.bench("llama")
    monkeypatch.setattr(
        accelerate,
        "compiled_layers",
        lambda base, longest: compiled_layers(base, longest, counting),
    )
    method = bench.method("soft_prompt", prompt_length=3)
    candidates = [kit.candidate(method, 1e-3, seed=k, id=f"{k}") for k in range(4)]
    train, validation = kit.plan(9, rows_per_step=4), kit.plan(5, seed=3)
    assert len(set(train.widths)) > 1
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Trainer(
            bench.base,
            TokenSource(bench.base.device),
            train,
            validation,
            ProtocolOptions(epochs=1, micro_batch_size=2),
            kit.recorder(),
            2,
            engine=EngineOptions(compile=True, cuda_graph=False),
        ).run(candidates)
        assert worker_threads_of(bench.base).num == 2, (
            "without compiled layers there would be two workers"
        )
    finally:
        torch.set_num_threads(before)
    assert counting.graphs == 2


@pytest.mark.soak
def test_a_window_narrower_than_the_rows_stays(kit: Kit, counting: Counting) -> None:
    bench = kit.bench("gpt_neo")
    shapes = ((2, 9), (2, 40), (2, 30))  # within the window of 16, and beyond it
    plain = gradients(bench, COMPILED, lambda base: nullcontext(), shapes)
    compiled = gradients(bench, COMPILED, lambda base: compiled_layers(base, 40, counting), shapes)
    assert counting.graphs == 2, "layers with a window are other code than layers without"
    for ours, expected in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_prefix_counts_towards_the_window(kit: Kit, counting: Counting) -> None:
    """Rows of 12 tokens fit the window of 16, but not behind a prefix of 6."""
    bench = kit.bench("gpt_neo")
    kinds = [("prefix", {"prefix_length": 6}), KINDS[1]]
    plain = gradients(bench, kinds, lambda base: nullcontext())
    longest = 12 + seated(bench, kinds).added_positions
    assert longest == 12 + 6 + 5
    compiled = gradients(bench, kinds, lambda base: compiled_layers(base, longest, counting))
    for ours, expected in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_what_the_processor_would_choose_by_length_is_compiled_once(
    kit: Kit, counting: Counting
) -> None:
    """In bfloat16, rows of some hundred positions go another way on a CPU, uncompiled."""
    bench = kit.bench("llama", dtype=torch.bfloat16)
    shapes = ((2, SHORTEST - 2), (2, SHORTEST + 2))
    gradients(bench, PROMPTS, lambda base: compiled_layers(base, 40, counting), shapes)
    assert counting.graphs == 1


def test_what_is_compilable_compiles_once(kit: Kit) -> None:
    bench = kit.bench("gpt_neo")
    graphs = {}
    for kind, spec in METHODS.items():
        if spec.trains_alone:
            continue
        cohort = seated(bench, [(kind, {})] * 2)
        if all(stack.is_compilable for stack in cohort.stacks.values()):
            torch._dynamo.reset()
            counting = Counting()
            with cohort, compiled_layers(bench.base, 15, counting):
                for shape in ((3, 7), (3, 7), (2, 9)):
                    trained(cohort, *shape)
            graphs[kind] = counting.graphs
    assert graphs == dict.fromkeys(("head", "lora", "soft_prompt", "p_tuning"), 1)


# Every run of the tests compiles around experts: tests/architectures/test_compiled.py.
@pytest.mark.soak
@pytest.mark.parametrize(
    "other",
    [
        ("dora", {"rank": 2, "target_modules": ("q_proj",)}),
        ("prefix", {"prefix_length": 4}),
        ("dora", {"rank": 2}),
        ("lora", {"rank": 2, "dropout": 0.5}),
        ("ia3", {}),
        ("bottleneck", {}),
        ("bitfit", {"norms": True}),
    ],
    ids=lambda other: "-".join((other[0], *other[1])),
)
def test_layers_are_compiled_around_what_is_not_compiled_with_them(
    kit: Kit, counting: Counting, other: tuple[str, dict[str, Any]]
) -> None:
    """One such method does not make its whole cohort uncompiled; the parts are for all layers."""
    kinds = [KINDS[0], other]
    shapes = ((3, 7), (2, 9))
    counts = []
    for num_layers in (2, 3):
        bench = kit.bench("llama", num_layers=num_layers)
        assert len(decoder_layers(bench.base)) == num_layers
        torch._dynamo.reset()
        counting.graphs = 0
        plain = gradients(bench, kinds, lambda base: nullcontext(), shapes)
        compiled = gradients(bench, kinds, lambda base: compiled_layers(base, 9, counting), shapes)
        for ours, expected in zip(compiled, plain, strict=True):
            # Sums of thousands of terms, of gradients up to some hundred.
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=5e-4)
        counts.append(counting.graphs)
    assert counts[0] == counts[1] > 1


def test_the_number_of_compilations_is_not_pytorchs(kit: Kit, counting: Counting) -> None:
    """Layers would run uncompiled once a process had seen more forms than its limit."""
    bench = kit.bench("gpt_neo")
    with dynamo_config.patch(recompile_limit=1):
        for kinds in (COMPILED, PROMPTS):
            cohort = seated(bench, kinds)
            with cohort, compiled_layers(bench.base, 15, counting):
                trained(cohort, 3, 7)
    assert counting.graphs == 2


def test_recomputed_layers_give_the_same_gradients_from_less(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    layer_type = type(decoder_layers(bench.base)[0])
    original = layer_type.forward

    def forward(self: nn.Module, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(self, *arguments, **named)

    monkeypatch.setattr(layer_type, "forward", forward)
    plain = gradients(bench, MORE_KINDS, lambda base: nullcontext())
    once, calls = calls, 0
    again = gradients(bench, MORE_KINDS, recomputed_layers)
    # What draws the initial tensors runs the base as well, without gradients.
    assert calls == once + len(decoder_layers(bench.base))
    for ours, expected in zip(again, plain, strict=True):
        assert torch.equal(ours, expected)


def test_layers_are_recomputed_with_the_windows_of_the_first_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the backward pass is in a thread of its own, which asks for nothing by itself."""
    asked: list[bool] = []
    layer_type = type(decoder_layers(bench.base)[0])
    original = layer_type.forward

    def forward(self: nn.Module, *arguments: Any, **named: Any) -> Any:
        asked.append(asks_windows_always())
        return original(self, *arguments, **named)

    monkeypatch.setattr(layer_type, "forward", forward)
    hidden = torch.randn(1, 3, bench.base.width, requires_grad=True)
    with recomputed_layers(bench.base), windows_always(enabled=True):
        model = bench.base.model
        found = model(inputs_embeds=hidden, use_cache=False).logits.sum()
    thread = threading.Thread(target=found.backward)
    thread.start()
    thread.join()
    assert hidden.grad is not None and len(asked) == 2 * len(decoder_layers(bench.base))
    assert all(asked)


def test_what_is_kept_for_the_backward_pass_shrinks(bench: Bench) -> None:
    def kept(context: Callable[[Base], AbstractContextManager[object]]) -> int:
        num_bytes = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal num_bytes
            num_bytes += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            gradients(bench, KINDS, context, ((4, 14),))
        return num_bytes

    assert kept(recomputed_layers) < 0.5 * kept(lambda base: nullcontext())


def test_layers_of_a_frozen_base_are_compiled(bench: Bench) -> None:
    torch._dynamo.reset()
    options = EngineOptions(compile=True, cuda_graph=False)
    for kind in ("lora", "soft_prompt", "ia3", "dora", "prefix", "full"):
        cohort = Cohort(bench.base, [bench.method(kind)], 1, ProtocolOptions())
        with cohort, accelerated(cohort, 20, options) as graphs:
            assert bench.base.is_compiled == (kind != "full")
            assert graphs is None
        assert not bench.base.is_compiled
