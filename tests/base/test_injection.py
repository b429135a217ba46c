"""Sites: which layers they stand on, what they hand to hooks, and that they go away."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import default_partition
from torch._inductor.fx_passes.joint_graph import joint_graph_passes
from torch.fx.experimental import _config as shape_config
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, OPTConfig, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from bakeoff.base.injection import (
    LinearSite,
    expect_rows,
    linear_layers,
    linear_shape,
    select_linear_layers,
)
from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.products import FrozenConv1D
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config
from bakeoff.base.weights.sources import Source
from bakeoff.errors import ConfigError

IDS: dict[str, Any] = {"vocab_size": 257, "bos_token_id": 256, "eos_token_id": 256}


def base_of(config: PreTrainedConfig, device: str = "cpu") -> Base:
    auto: Any = AutoModelForCausalLM
    with torch.device(device), silence_libraries():
        model = auto.from_config(config, dtype=torch.float32)
    source = Source(
        reference="x", model=model, tokenizer=byte_tokenizer(32), fingerprint="", description=""
    )
    return Base(source, device=torch.device(device), dtype=torch.float32, probe=device == "cpu")


@pytest.fixture(scope="module")
def llama() -> Base:
    return base_of(
        LlamaConfig(
            **IDS,
            max_position_embeddings=32,
            hidden_size=12,
            intermediate_size=20,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            tie_word_embeddings=False,
        )
    )


@pytest.fixture(scope="module")
def gpt2() -> Base:
    return base_of(GPT2Config(**IDS, n_positions=32, n_embd=12, n_layer=2, n_head=3))


# One site


@pytest.mark.parametrize("make", [nn.Linear, lambda d, e: Conv1D(e, d)], ids=["Linear", "Conv1D"])
@pytest.mark.parametrize("shape", [(6, 4, 5), (24, 5)], ids=["[B, T, D]", "[B * T, D]"])
def test_hooks_see_the_rows_by_slot_and_add_in_turn(make: Any, shape: tuple[int, ...]) -> None:
    linear = make(5, 7)
    site = LinearSite(linear)
    assert (site.in_features, site.out_features) == (5, 7)
    assert site.weight is linear.weight
    x = torch.randn(shape)
    plain = linear(x)
    assert torch.equal(site(x), plain)
    site.num_slots = 3
    factors_K11 = torch.tensor([0.0, 1.0, 10.0])[:, None, None]
    seen: list[tuple[Tensor, Tensor]] = []

    def first(x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        seen.append((x_KND, y_KNE))
        return y_KNE + factors_K11 * x_KND.sum(dim=-1, keepdim=True)

    site.hooks = [first, lambda x_KND, y_KNE: 2 * y_KNE]
    found = site(x)
    assert found.shape == plain.shape
    assert torch.equal(seen[0][0], x.reshape(3, 8, 5))
    assert torch.equal(seen[0][1], plain.reshape(3, 8, 7))
    added = x.reshape(3, 8, 5).sum(dim=-1, keepdim=True) * factors_K11
    assert torch.equal(found, (2 * (plain.reshape(3, 8, 7) + added)).reshape(plain.shape))


def test_only_linear_layers_have_a_shape() -> None:
    assert linear_shape(nn.Linear(3, 4)) == linear_shape(Conv1D(4, 3)) == (3, 4)
    with pytest.raises(TypeError, match="LayerNorm is not a linear layer"):
        linear_shape(nn.LayerNorm(3))


class Product:
    """A hook that adds each slot's product."""

    def __init__(self, weight_KDE: Tensor) -> None:
        self.weight_KDE = weight_KDE

    def __call__(self, x_KND: Tensor, y_KNE: Tensor) -> Tensor:
        return torch.baddbmm(y_KNE, x_KND, self.weight_KDE)


def test_as_many_rows_as_slots_are_no_other_code() -> None:
    """Neither a reshape nor Inductor's removal of views compares the two numbers; one row of each
    slot is other code, as PyTorch compiles a size of one as a constant.
    """
    graphs = 0

    def partition(module: Any, inputs: Any, **settings: Any) -> Any:
        joint_graph_passes(module)
        return default_partition(module, inputs, **settings)

    def as_it_is(module: Any, inputs: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return make_boxed_func(module.forward)

    torch._dynamo.reset()
    site = LinearSite(nn.Linear(4, 5).requires_grad_(False))
    backend = aot_autograd(fw_compiler=as_it_is, partition_fn=partition)
    compiled = torch.compile(site, backend=backend, dynamic=True)
    forward_and_backward = 2
    with shape_config.patch(use_duck_shape=False):  # type: ignore[attr-defined]
        for num_slots, rows in ((2, 3), (2, 2), (3, 3), (3, 2), (2, 1), (3, 1)):
            site.num_slots = num_slots
            expect_rows([site], num_slots * rows)
            site.hooks = [Product(torch.ones(num_slots, 4, 5, requires_grad=True))]
            x = torch.ones(num_slots * rows, 6, 4, requires_grad=True).clone()
            y = compiled(x)
            y.sum().backward()
            torch.testing.assert_close(y, site(x))
    assert graphs == 2 * forward_and_backward


# Which layers there are


def test_names_and_shapes_of_a_llama(llama: Base) -> None:
    block = {
        "self_attn.q_proj": (12, 12),
        "self_attn.k_proj": (12, 4),
        "self_attn.v_proj": (12, 4),
        "self_attn.o_proj": (12, 12),
        "mlp.gate_proj": (12, 20),
        "mlp.up_proj": (12, 20),
        "mlp.down_proj": (20, 12),
    }
    expected = {f"model.layers.{i}.{name}": shape for i in (0, 1) for name, shape in block.items()}
    found = llama.linear_layers()
    assert {name: linear_shape(layer) for name, layer in found.items()} == expected
    assert list(found) == list(expected)


def test_names_and_shapes_of_a_gpt2(gpt2: Base) -> None:
    block = {
        "attn.c_attn": (12, 36),
        "attn.c_proj": (12, 12),
        "mlp.c_fc": (12, 48),
        "mlp.c_proj": (48, 12),
    }
    expected = {f"transformer.h.{i}.{name}": shape for i in (0, 1) for name, shape in block.items()}
    found = gpt2.linear_layers()
    assert {name: linear_shape(layer) for name, layer in found.items()} == expected
    assert {type(layer) for layer in found.values()} == {FrozenConv1D}


def test_layers_outside_the_blocks_count_and_the_head_never(llama: Base, gpt2: Base) -> None:
    opt = base_of(
        OPTConfig(
            **IDS,
            max_position_embeddings=32,
            hidden_size=12,
            word_embed_proj_dim=8,
            ffn_dim=20,
            num_hidden_layers=1,
            num_attention_heads=3,
        )
    )
    names = list(opt.linear_layers())
    assert {"model.decoder.project_in", "model.decoder.project_out"} <= set(names)
    for base in (llama, gpt2, opt):
        assert base.head not in base.linear_layers().values()
        assert list(linear_layers(base.model, head=None))[-1] == "lm_head"


def test_gpt_neo_125m_has_the_published_number_of_linear_layers() -> None:
    layers = base_of(scratch_config("scratch:gpt-neo-125m"), "meta").linear_layers()
    assert len(layers) == 12 * 6
    assert sum(8 * sum(linear_shape(layer)) for layer in layers.values()) == 1_327_104


# Which are meant

NAMES = [
    f"model.layers.{i}.{part}"
    for i in range(11)
    for part in ("attn.q_proj", "attn.v_proj", "mlp.c_proj", "mlp.fc_proj")
]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["v_proj"], [n for n in NAMES if n.endswith(".v_proj")]),
        (["v_proj", "q_proj"], [n for n in NAMES if n.endswith((".v_proj", ".q_proj"))]),
        (["proj"], None),
        (["c_proj"], [n for n in NAMES if n.endswith(".c_proj")]),
        (["model.layers.1.attn.q_proj"], ["model.layers.1.attn.q_proj"]),
        (["1.attn.q_proj"], ["model.layers.1.attn.q_proj"]),
        (["layers.10.mlp.c_proj", "layers.2.mlp.c_proj"], [NAMES[10], NAMES[42]]),
        ("all-linear", NAMES),
        (r".*\.attn\..*", [n for n in NAMES if ".attn." in n]),
        (r".*\.[01]\.mlp\.c_proj", [NAMES[2], NAMES[6]]),
        (r"model\.layers\.3", None),
        ("q_proj", None),
        ("(", None),
        ([], None),
        (["q_proj", "w_proj"], None),
    ],
)
def test_targets_mean_what_peft_means(targets: Any, expected: list[str] | None) -> None:
    if expected is not None:
        assert select_linear_layers(NAMES, targets, where="methods.x.target_modules") == expected
        return
    with pytest.raises(ConfigError) as caught:
        select_linear_layers(NAMES, targets, where="methods.x.target_modules")
    message = str(caught.value)
    assert message.startswith("methods.x.target_modules: ")
    assert "c_proj, fc_proj, q_proj" in message


def test_a_misspelt_target_suggests_the_nearest_and_a_wild_one_none() -> None:
    where = "methods.x.target_modules"
    with pytest.raises(ConfigError, match=r"'vproj' matches no.*did you mean 'v_proj'\? Linear"):
        select_linear_layers(NAMES, ["vproj"], where=where)
    with pytest.raises(ConfigError, match=r"'zzz' matches no linear layer of the base\. Linear"):
        select_linear_layers(NAMES, ["zzz"], where=where)


# Coming and going


def test_sites_stand_for_as_long_as_their_context(gpt2: Base) -> None:
    before = dict(gpt2.model.named_modules())
    names = list(gpt2.linear_layers())
    with gpt2.sites(names[2:5], 4) as sites:
        assert list(sites) == names[2:5]
        for name, site in sites.items():
            assert gpt2.model.get_submodule(name) is site
            assert site.linear is before[name]
            assert site.num_slots == 4
        assert list(gpt2.linear_layers()) == names, "a site's own layer keeps its name"
        assert gpt2.linear_layers()[names[2]] is before[names[2]]
    assert dict(gpt2.model.named_modules()) == before


def test_sites_go_after_an_error(llama: Base) -> None:
    before = dict(llama.model.named_modules())
    names = list(llama.linear_layers())
    with pytest.raises(ZeroDivisionError), llama.sites(names, 2):
        _ = 1 / 0
    assert dict(llama.model.named_modules()) == before


def test_sites_go_when_one_of_them_cannot_be_made(llama: Base) -> None:
    before = dict(llama.model.named_modules())
    names = [next(iter(llama.linear_layers())), "model.layers.0.mlp.act_fn"]
    with pytest.raises(TypeError, match="is not a linear layer"), llama.sites(names, 2):
        pass
    assert dict(llama.model.named_modules()) == before


def test_a_site_without_hooks_changes_nothing(llama: Base) -> None:
    ids = torch.tensor([[5, 17, 200, 3]])
    with torch.no_grad():
        embeds, positions = llama.embedding(ids), torch.arange(4)[None]
        plain = llama.hidden_states(embeds, positions)
        with llama.sites(list(llama.linear_layers()), 1):
            assert torch.equal(llama.hidden_states(embeds, positions), plain)
