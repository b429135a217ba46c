"""What every registered method must keep to, on four architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.methods.registry import METHODS, method_type

Tensors = dict[str, Tensor]
NextToken = Callable[[Cohort, Tensor, Tensor], Tensor]

TIED = ("gpt_neo", "gpt2")
UNTIED = ("llama", "gpt_neox")
NEEDED: Mapping[tuple[str, str], dict[str, Any]] = {
    # Llama has no biases, and a bottleneck of one feature may be dead from the start.
    ("llama", "bitfit"): {"norms": True},
    **{(a, "bottleneck"): {"reduction_factor": 4.0} for a in TIED + UNTIED},
    # These bases have 40 positions.
    **{(a, "prefix"): {"prefix_length": 20} for a in TIED + UNTIED},
}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    (a, kind, dict(NEEDED.get((a, kind), {})))
    for a in TIED + UNTIED
    for kind, spec in METHODS.items()
    if spec.family_option is None
]
CASES += [(a, "bitfit", {"norms": True}) for a in ("gpt_neo", "gpt2", "gpt_neox")]
CASES += [(a, "head", {"tied": True}) for a in TIED]
_SOME = "v_proj|c_attn|query_key_value"
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"init": "orthogonal", "rank": 8, "alpha": 8, "rank_stabilised": True}),
    ("lora", {"init": "pissa", "rank": 4, "target_modules": "all-linear"}),
    ("lora", {"ranks": {_SOME: 4}, "dropout": 0.5}),
    ("dora", {"target_modules": "all-linear", "alphas": {".*": 20.0}}),
    ("peft", {"peft_type": "LOHA", "r": 2, "target_modules": "all-linear"}),
    ("peft", {"peft_type": "ADALORA", "total_step": 9, "tinit": 1, "tfinal": 1, "init_r": 4}),
    ("peft", {"peft_type": "vera", "r": 8}),
]
CASES += [
    (a, kind, options)
    for a in TIED + UNTIED
    for kind, options in VARIANTS
    # PEFT's LoHa knows no Conv1D.
    if (a, options.get("peft_type")) != ("gpt2", "LOHA")
]
CASES += [(a, "last_layers", {"num_layers": 2, "head": False}) for a in ("gpt2", "llama")]
CASES += [(a, "bottleneck", {"variant": "houlsby", "size": 4}) for a in TIED + UNTIED]
CASES += [(a, "bottleneck", {"placement": "parallel", "size": 5}) for a in TIED + UNTIED]
CASES += [
    (a, "prefix", {"prefix_length": 20, "projection": True, "hidden": 6})
    for a in ("gpt_neo", "llama")
]
SMALLER: Mapping[str, dict[str, Any]] = {
    "lora": {"rank": 2, "alpha": 12.0, "target_modules": "all-linear"},
    "dora": {"rank": 3, "target_modules": "all-linear"},
    "soft_prompt": {"prompt_length": 5},
    "p_tuning": {"prompt_length": 3, "hidden": 5},
    "prefix": {"prefix_length": 4},
    "bottleneck": {"reduction_factor": None, "size": 3, "activation": "gelu", "layers": (1,)},
    "last_layers": {"num_layers": 1, "head": False},
    "ia3": {"target_modules": r".*\.1\..*(c_proj|down_proj|dense_4h_to_h|c_attn|v_proj)"},
    "peft": {"target_modules": None},
}
"""Options that give another size than the defaults, so that slots differ."""

DRAWS_NOTHING = {"head", "full", "ia3", "bitfit", "last_layers"}

PLAIN_FILES = {".safetensors", ".json", ".txt", ".jinja", ".model"}


def snapshot(module: nn.Module) -> Tensors:
    state = {name: p.detach().clone() for name, p in module.named_parameters()}
    return state | {name: b.detach().clone() for name, b in module.named_buffers()}


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def options_of(method: Method) -> str | None:
    return getattr(method.options, "peft_type", None)


@pytest.fixture(params=CASES, ids=lambda c: "-".join([c[0], c[1], *c[2]]))
def case(
    request: pytest.FixtureRequest, base_of: Callable[[str], Base]
) -> tuple[Base, str, dict[str, Any]]:
    architecture, kind, options = request.param
    return base_of(architecture), kind, options


@pytest.fixture
def method(case: tuple[Base, str, dict[str, Any]], build: Callable[..., Method]) -> Method:
    base, kind, options = case
    return build(kind, base, **options)


@pytest.fixture
def smaller(case: tuple[Base, str, dict[str, Any]], build: Callable[..., Method]) -> Method:
    base, kind, options = case
    return build(kind, base, **options | SMALLER.get(kind, {}))


class TestContract:
    def test_training_changes_exactly_what_is_declared(
        self,
        method: Method,
        ids_BT: Tensor,
        next_token_nll: Callable[..., Tensor],
    ) -> None:
        base = method.base
        before = snapshot(base.model)
        initial = method.initial(torch.Generator().manual_seed(1))
        assert {n: tuple(t.shape) for n, t in initial.items()} == method.shapes
        assert {t.dtype for t in initial.values()} == {torch.float32}
        given = {name: tensor.clone() for name, tensor in initial.items()}
        protocol = ProtocolOptions(weight_decay=0.0)
        with Cohort(base, [method], 1, protocol) as cohort:
            assert cohort.optimizer is not None
            cohort.seat(0, method, initial)
            taken = cohort.take(0)
            buffers = {n: b.clone() for n, b in cohort.base.model.named_buffers()}
            # Two updates: after the first, LoRA's second factor is no longer zero.
            for _ in range(2):
                cohort.optimizer.zero_grad()
                loss_K = next_token_nll(cohort, ids_BT[None], torch.tensor([[12, 9, 4]]))
                loss_K.sum().backward()
                cohort.optimizer.step(torch.tensor([1e-2], dtype=torch.float64), loss_K.detach())
            assert bool(cohort.optimizer.alive_K.all())
            after = cohort.take(0)
            assert_same(dict(cohort.base.model.named_buffers()), buffers)
        assert {n: tuple(t.shape) for n, t in after.items()} == method.shapes
        for name, tensor in after.items():
            assert torch.isfinite(tensor).all(), name
            assert not torch.equal(tensor, given[name]), f"{name} was not trained"
        assert_same(initial, given)
        assert_same(taken, given)
        assert_same(snapshot(base.model), before)
        assert all(p.grad is None for p in base.model.parameters())
        assert not any(p.requires_grad for p in base.model.parameters())

    def test_an_untrained_candidate_computes_what_the_base_does(
        self,
        method: Method,
        ids_BT: Tensor,
        solo_logits: Callable[..., Tensor],
        untuned_logits: Callable[..., Tensor],
    ) -> None:
        initial = method.initial(torch.Generator().manual_seed(1))
        gap = solo_logits(method, initial, ids_BT) - untuned_logits(method.base, ids_BT)
        if method.extra_positions:
            assert gap.abs().max() > 1e-2, "vectors before the tokens must be seen by them"
        else:
            assert gap.abs().max() <= 1e-6

    def test_one_times_eight_rows_give_the_gradients_of_four_times_two(
        self, method: Method, perturbed: Callable[[Method], Tensors], next_token_nll: NextToken
    ) -> None:
        ids_RT = torch.randint(256, (8, 11), generator=torch.Generator().manual_seed(4))
        lengths_R = torch.tensor([11, 2, 7, 5, 10, 3, 8, 6])
        total = int((lengths_R - 1).sum())
        found = []
        with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
            cohort.seat(0, method, perturbed(method))
            assert cohort.optimizer is not None
            for rows in (8, 2):
                cohort.optimizer.zero_grad()
                for ids, lengths in zip(ids_RT.split(rows), lengths_R.split(rows), strict=True):
                    mean_K = next_token_nll(cohort, ids[None], lengths[None])
                    (mean_K * ((lengths - 1).sum() / total)).sum().backward()
                found.append(cohort.optimizer.grads_Kn.clone())
        whole, cut = found
        assert whole.norm() > 1e-3
        assert (cut - whole).norm() <= 1e-5 * whole.norm()

    def test_what_is_saved_comes_back_with_the_same_logits(
        self,
        method: Method,
        ids_BT: Tensor,
        tmp_path: Path,
        perturbed: Callable[[Method], Tensors],
        solo_logits: Callable[..., Tensor],
        untuned_logits: Callable[..., Tensor],
    ) -> None:
        tensors = perturbed(method)
        method.save(tensors, tmp_path / "adapter")
        loaded = method.load(tmp_path / "adapter")
        stored = method.stored(tensors)
        assert_same(loaded, stored)
        # Over the very file that was read.
        method.save(loaded, tmp_path / "adapter")
        assert_same(method.load(tmp_path / "adapter"), stored)
        assert_same(loaded, stored)
        logits = solo_logits(method, loaded, ids_BT)
        assert torch.equal(logits, solo_logits(method, tensors, ids_BT))
        assert (logits - untuned_logits(method.base, ids_BT)).abs().max() > 1e-2

    def test_no_file_is_a_pickle(
        self, method: Method, tmp_path: Path, perturbed: Callable[[Method], Tensors]
    ) -> None:
        method.save(perturbed(method), tmp_path / "adapter")
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= PLAIN_FILES
        weights = [path for path in files if path.suffix == ".safetensors"]
        assert weights
        stored = sum(t.numel() for path in weights for t in load_file(path).values())
        # Beside what PiSSA trains stands what it began with.
        halves = 2 if getattr(method.options, "init", None) == "pissa" else 1
        kept = sum(t.numel() for t in method.stored(perturbed(method)).values())
        assert stored == halves * kept or options_of(method) == "VERA"

    def test_an_adapter_that_does_not_fit_is_refused_by_name(
        self,
        method: Method,
        case: tuple[Base, str, dict[str, Any]],
        tmp_path: Path,
        base_of: Callable[[str], Base],
        build: Callable[..., Method],
    ) -> None:
        tensors = method.initial(torch.Generator().manual_seed(1))
        folder = tmp_path / "adapter"
        method.save(tensors, folder)
        (weights,) = folder.glob("*.safetensors")
        whole = weights.read_bytes()
        # Copies: what is loaded lies in the file itself, which is about to be overwritten.
        stored = {name: tensor.clone() for name, tensor in load_file(weights).items()}

        weights.write_bytes(whole[: len(whole) // 2])
        self.refused(method, folder, weights, "train the candidate again")

        weights.unlink()
        self.refused(method, folder, weights, "missing")

        save_file(stored | {"surplus": torch.zeros(2)}, weights)
        self.refused(method, folder, weights, "surplus")

        name = next(iter(stored))
        save_file(stored | {name: torch.zeros(2, 3)}, weights)
        self.refused(method, folder, weights, name)

        settings = sorted(folder.glob("*.json"))
        if weights.name != "model.safetensors":
            (config,) = settings
            text = config.read_text()
            config.write_text(text[: len(text) // 2])
            self.refused(method, folder, config, "cannot be read")
            config.unlink()
            self.refused(method, folder, config, "cannot be read")

        # Of the same method on a base of another shape.
        base, kind, options = case
        nearest = "gpt_neox" if kind == "peft" else "gpt2"  # not all of PEFT's know Conv1D
        other = base_of("gpt_neo" if base.model_type == nearest else nearest)
        foreign = build(kind, other, **options)
        if foreign.shapes != method.shapes:
            foreign.save(foreign.initial(torch.Generator()), tmp_path / "foreign")
            # Layers' names stand in the settings too where they have ranks of their own.
            with pytest.raises(CheckpointError, match=r"another base|other options"):
                method.load(tmp_path / "foreign")

    def refused(self, method: Method, folder: Path, file: Path, words: str) -> None:
        with pytest.raises(CheckpointError) as caught:
            method.load(folder)
        assert str(caught.value).startswith(f"{file}: ")
        assert words in str(caught.value)

    def test_slots_of_different_sizes_keep_to_themselves(
        self,
        method: Method,
        smaller: Method,
        ids_BT: Tensor,
        perturbed: Callable[..., Tensors],
        token_logits: Callable[..., Tensor],
        solo_logits: Callable[..., Tensor],
    ) -> None:
        if method.execution_path is ExecutionPath.OWN_BASE:
            pytest.skip("has no second slot")
        seats = [(smaller, perturbed(smaller, 5)), (method, perturbed(method, 6))]
        with Cohort(method.base, [method, smaller], 3) as cohort, torch.no_grad():
            # The larger one sat here before: what it leaves behind must be gone.
            cohort.seat(0, *seats[1])
            stack = cohort.stacks[method.kind]
            stack.place(0, *seats[0])
            placed = sum(int(t[0].count_nonzero()) for t in stack.tensors.values())
            assert placed == sum(int(t.count_nonzero()) for t in seats[0][1].values())
            for slot, seat in enumerate(seats):
                cohort.seat(slot, *seat)
            together = token_logits(cohort, ids_BT.expand(3, -1, -1))
            narrowed = []
            for slot, (_, tensors) in enumerate(seats):
                assert_same(cohort.take(slot), tensors)
                with cohort.only([slot]):
                    narrowed.append(token_logits(cohort, ids_BT[None])[0])
        for slot, seat in enumerate(seats):
            alone = solo_logits(*seat, ids_BT)
            assert (together[slot] - alone).abs().max() <= 1e-5
            assert (narrowed[slot] - alone).abs().max() <= 1e-5

    def test_an_empty_slot_is_the_untuned_base(
        self,
        method: Method,
        ids_BT: Tensor,
        perturbed: Callable[[Method], Tensors],
        token_logits: Callable[..., Tensor],
        untuned_logits: Callable[..., Tensor],
    ) -> None:
        num_slots = 1 if method.execution_path is ExecutionPath.OWN_BASE else 2
        expected = untuned_logits(method.base, ids_BT)
        ids_KBT = ids_BT.expand(num_slots, -1, -1)
        with Cohort(method.base, [method], num_slots) as cohort, torch.no_grad():
            assert (token_logits(cohort, ids_KBT) - expected).abs().max() <= 1e-5
            for slot in range(num_slots):
                cohort.seat(slot, method, perturbed(method))
            seated = token_logits(cohort, ids_KBT)
            cohort.vacate(0)
            after = token_logits(cohort, ids_KBT)
        assert (seated[0] - expected).abs().max() > 1e-2
        assert (after[0] - expected).abs().max() <= 1e-5
        assert torch.equal(after[1:], seated[1:])

    def test_the_seed_decides_what_is_drawn(self, method: Method) -> None:
        generator = torch.Generator().manual_seed(1)
        state = generator.get_state()
        first = method.initial(generator)
        draws = not torch.equal(generator.get_state(), state)
        torch.rand(7)
        assert_same(method.initial(torch.Generator().manual_seed(1)), first)
        other = method.initial(torch.Generator().manual_seed(2))
        differs = any(not torch.equal(other[name], first[name]) for name in first)
        # VeRA trains vectors that start alike and draws only what stays frozen.
        assert differs == (draws and options_of(method) != "VERA")
        is_given = getattr(method.options, "init", None) == "pissa"
        assert draws == (method.kind not in DRAWS_NOTHING and not is_given)

    def test_it_says_what_it_is(self, method: Method) -> None:
        assert method_type(method.kind, where="kind") is type(method)
        assert METHODS[method.kind] is method.spec
        overrides_merging = type(method).merged_weights is not Method.merged_weights
        assert method.spec.mergeable == overrides_merging == method.is_mergeable()
        assert method.spec.trains_alone == (method.execution_path is ExecutionPath.OWN_BASE)
        for text in ("title", "paper", "formula", "learning_rate_source"):
            assert len(getattr(method, text)) > 5
        assert 0 < method.default_learning_rate < 1
        assert method.num_trainable == sum(torch.Size(s).numel() for s in method.shapes.values())
