"""LoRA's own rules; what all methods share stands in test_contract.py, PEFT in test_peft.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.low_rank import lora as lora_module
from bakeoff.methods.low_rank.lora import Lora

Perturbed = Callable[[Method], dict[str, Tensor]]


@pytest.fixture
def base(base_of: Callable[[str], Base]) -> Base:
    return base_of("llama")


@pytest.fixture
def lora(build: Callable[..., Method], base: Base) -> Callable[..., Lora]:
    def call(**options: Any) -> Lora:
        method = build("lora", base, **options)
        assert isinstance(method, Lora)
        return method

    return call


def test_the_scale_is_alpha_over_rank(lora: Callable[..., Lora]) -> None:
    def scales(**options: Any) -> set[float]:
        return {plan.scaling for plan in lora(**options).plan.values()}

    assert scales(rank=4) == {8.0}
    assert scales(rank=4, alpha=None) == {1.0}
    assert scales(rank=4, alpha=10.0) == {2.5}
    assert scales(rank=4, alpha=10.0, rank_stabilised=True) == {5.0}
    # Without an alpha, each layer's is its own rank.
    assert scales(rank=4, alpha=None, ranks={"q_proj": 16}) == {1.0}
    assert scales(rank=4, alpha=None, ranks={"q_proj": 16}, rank_stabilised=True) == {2.0, 4.0}
    assert scales(rank=4, alpha=8.0, alphas={"q_proj": 2.0}) == {2.0, 0.5}


def test_principal_parts_have_no_negative_scale(lora: Callable[..., Lora]) -> None:
    expected = r"methods\.x\.init: pissa .* alpha of -2; give an alpha above 0"
    for options in ({"alpha": -2.0}, {"alphas": {"v_proj": -2.0}}):
        with pytest.raises(ConfigError, match=expected):
            lora(rank=2, init="pissa", **options)
        assert lora(rank=2, **options)


def test_twice_alpha_is_half_the_second_factor(
    lora: Callable[..., Lora],
    perturbed: Perturbed,
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
) -> None:
    once, twice = lora(rank=4, alpha=4.0), lora(rank=4, alpha=8.0)
    tensors = perturbed(once)
    halved = {n: t / 2 if n.endswith("lora_b") else t for n, t in tensors.items()}
    expected = solo_logits(once, tensors, ids_BT)
    assert (solo_logits(twice, halved, ids_BT) - expected).abs().max() <= 1e-5
    assert (solo_logits(twice, tensors, ids_BT) - expected).abs().max() > 1e-3


def test_the_update_equals_a_changed_weight(
    lora: Callable[..., Lora],
    base: Base,
    perturbed: Perturbed,
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    method = lora(rank=3, alpha=6.0, target_modules="all-linear")
    tensors = perturbed(method)
    merged, _ = base.private_copy()
    with torch.no_grad():
        for name, layer in merged.linear_layers().items():
            update = tensors[f"{name}.lora_a"] @ tensors[f"{name}.lora_b"]
            assert isinstance(layer.weight, Tensor)
            layer.weight += 2.0 * update.t()
    gap = solo_logits(method, tensors, ids_BT) - untuned_logits(merged, ids_BT)
    assert gap.abs().max() <= 1e-5


def test_slots_of_different_layers_share_a_stack(
    lora: Callable[..., Lora],
    perturbed: Perturbed,
    ids_BT: Tensor,
    token_logits: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
) -> None:
    methods = [
        lora(rank=2, target_modules=("down_proj",)),
        lora(rank=5, target_modules=("q_proj",)),
    ]
    tensors = [perturbed(method) for method in methods]
    with Cohort(methods[0].base, methods, 2) as cohort, torch.no_grad():
        stack = cohort.stacks["lora"]
        # Each layer is padded to the largest rank of those that use it, not of all.
        assert stack.num_values == sum(method.num_trainable for method in methods)
        for slot in (0, 1):
            cohort.seat(slot, methods[slot], tensors[slot])
        together = token_logits(cohort, ids_BT.expand(2, -1, -1))
    for slot in (0, 1):
        alone = solo_logits(methods[slot], tensors[slot], ids_BT)
        assert (together[slot] - alone).abs().max() <= 1e-5


def test_padding_of_a_smaller_rank_learns_nothing(
    lora: Callable[..., Lora], perturbed: Perturbed, ids_BT: Tensor, next_token_nll: Any
) -> None:
    from bakeoff.engine.options import ProtocolOptions

    small, large = lora(rank=2), lora(rank=5)
    with Cohort(small.base, [small, large], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, small, perturbed(small))
        assert cohort.optimizer is not None
        cohort.optimizer.zero_grad()
        next_token_nll(cohort, ids_BT[None], torch.full((1, 3), 12)).sum().backward()
        for name, tensor in cohort.stacks["lora"].tensors.items():
            gradient = tensor.grad
            assert gradient is not None
            outside = gradient[0, :, 2:] if name.endswith("lora_a") else gradient[0, 2:]
            assert gradient.abs().max() > 0
            assert outside.numel() > 0
            assert not outside.any()


def test_the_first_factor_is_drawn_as_by_peft(lora: Callable[..., Lora]) -> None:
    method = lora(rank=16, target_modules="all-linear")
    tensors = method.initial(torch.Generator().manual_seed(0))
    for name, tensor in tensors.items():
        if name.endswith("lora_b"):
            assert not tensor.any()
        else:
            # Kaiming's uniform with a = sqrt 5: the bound is 1 / sqrt(inputs).
            bound = tensor.shape[0] ** -0.5
            assert tensor.abs().max() <= bound
            assert tensor.std() == pytest.approx(bound / 3**0.5, rel=0.15)


@pytest.mark.parametrize("rank", [0, -3])
def test_a_rank_below_one_is_refused(lora: Callable[..., Lora], rank: int) -> None:
    with pytest.raises(ConfigError, match=rf"^methods\.x\.rank: {rank} is below 1"):
        lora(rank=rank)


def test_a_target_that_matches_nothing_names_the_option(lora: Callable[..., Lora]) -> None:
    with pytest.raises(ConfigError, match=r"^methods\.x\.target_modules: 'c_attn' matches no"):
        lora(target_modules=("c_attn",))


def test_an_architecture_without_defaults_asks_for_names(
    lora: Callable[..., Lora], base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(base), "model_type", property(lambda self: "novel"))
    with pytest.raises(ConfigError, match=r"architecture 'novel'.*down_proj.*all-linear"):
        lora(target_modules=None)
    assert lora().num_trainable > 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("r", 3),
        ("lora_alpha", 99),
        ("use_rslora", True),
        ("alpha_pattern", {"q_proj": 4}),
        ("peft_type", "LOHA"),
    ],
)
def test_settings_that_would_give_other_logits_are_refused(
    lora: Callable[..., Lora], tmp_path: Path, key: str, value: object
) -> None:
    method = lora(rank=2)
    method.save(method.initial(torch.Generator()), tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointError, match=f"adapter_config.json: {key} is"):
        method.load(tmp_path)


def test_the_export_names_layers_no_longer_than_needed(
    lora: Callable[..., Lora], base: Base, tmp_path: Path
) -> None:
    def saved(*targets: str) -> set[str]:
        method = lora(rank=1, target_modules=targets)
        method.save(method.initial(torch.Generator()), tmp_path)
        config = json.loads((tmp_path / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == base.source.reference
        return set(config["target_modules"])

    assert saved("model.layers.0.mlp.up_proj", "layers.1.mlp.up_proj") == {"up_proj"}
    assert saved("layers.1.mlp.up_proj") == {"model.layers.1.mlp.up_proj"}


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), 0.0])
def test_a_scale_that_leaves_no_update_is_refused(
    base_of: Callable[[str], Base], build: Callable[..., Method], alpha: float
) -> None:
    with pytest.raises(ConfigError, match=r"\.alpha: "):
        build("lora", base_of("gpt_neo"), alpha=alpha)


class _Products(TorchDispatchMode):
    """Counts batched products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch gives it no types
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default)
        return func(*args, **(kwargs or {}))


def test_layers_that_read_the_same_make_one_product(
    lora: Callable[..., Lora],
    base: Base,
    perturbed: Perturbed,
    ids_BT: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of other ranks too, and for a slot that updates some of them alone."""
    layers = "q_proj", "k_proj", "v_proj", "o_proj"
    methods = [
        lora(rank=4, ranks={"k_proj": 2}, target_modules=layers),
        lora(rank=3, target_modules=("q_proj", "v_proj")),
    ]

    def gradients() -> tuple[Tensor, Tensor, int]:
        cohort = Cohort(base, methods, 2, ProtocolOptions())
        for slot, method in enumerate(methods):
            cohort.seat(slot, method, perturbed(method), slot)
        with cohort, cohort.training_pass(torch.tensor(0), len(ids_BT)):
            with _Products() as products:
                hidden = cohort.hidden_states(ids_BT.expand(2, *ids_BT.shape))[0]
            hidden.square().sum().backward()
        assert cohort.optimizer is not None
        return hidden.detach(), cohort.optimizer.grads_Kn.clone(), products.count

    *together, few = gradients()
    monkeypatch.setattr(lora_module, "layers_that_share", lambda names: [])
    *apart, many = gradients()
    assert many - few == 2 * base.config.num_hidden_layers, "one of three is left in each layer"
    for ours, expected in zip(together, apart, strict=True):
        assert (ours - expected).norm() <= 1e-5 * expected.norm()
