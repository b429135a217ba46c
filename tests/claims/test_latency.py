"""What is timed: two bottlenecks in every block, whatever a family calls its parts."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
)

from bakeoff.base.blocks import Block, blocks, blocks_of
from bakeoff.claims import latency
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.latency import _add_bottlenecks, _Bottleneck, adapter_times
from bakeoff.claims.measured import try_to_measure
from bakeoff.claims.suite import Failures
from tests.claims.planted import Study, suite_of
from tests.methods.test_counts import shapes_only

WIDTH, LAYERS = 16, 3
LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
}
GPT_2: dict[str, Any] = {"vocab_size": 64, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2}
# Of a family the configuration, and where in a block attention and the MLP end.
FAMILIES: dict[str, tuple[Callable[[], PreTrainedConfig], tuple[str, str]]] = {
    "gpt_neox": (
        lambda: GPTNeoXConfig(**LLAMA_LIKE),
        ("attention.dense", "mlp.dense_4h_to_h"),
    ),
    "phi3": (
        lambda: Phi3Config(**LLAMA_LIKE, pad_token_id=0),
        ("self_attn.o_proj", "mlp.down_proj"),
    ),
    "falcon": (
        lambda: FalconConfig(
            **{key: size for key, size in LLAMA_LIKE.items() if key != "intermediate_size"},
            new_decoder_architecture=True,
            num_kv_heads=1,
        ),
        ("self_attention.dense", "mlp.dense_4h_to_h"),
    ),
    "opt": (
        lambda: OPTConfig(**LLAMA_LIKE, ffn_dim=48, word_embed_proj_dim=WIDTH),
        ("self_attn.out_proj", "fc2"),
    ),
    "llama": (lambda: LlamaConfig(**LLAMA_LIKE), ("self_attn.o_proj", "mlp.down_proj")),
    "gpt2": (lambda: GPT2Config(**GPT_2), ("attn.c_proj", "mlp.c_proj")),
    "gpt_neo": (
        lambda: GPTNeoConfig(
            vocab_size=64,
            hidden_size=WIDTH,
            num_layers=LAYERS,
            num_heads=2,
            attention_types=[[["global"], LAYERS]],
        ),
        ("attn.attention.out_proj", "mlp.c_proj"),
    ),
}


def model_of(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    auto: Any = AutoModelForCausalLM
    model: PreTrainedModel = auto.from_config(config).eval()
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_has_one_bottleneck_after_attention_and_one_after_the_mlp(family: str) -> None:
    make, ends = FAMILIES[family]
    model = model_of(make())
    act = _add_bottlenecks(model, WIDTH, family)
    places = [name for name, one in model.named_modules() if isinstance(one, _Bottleneck)]
    assert len(places) == 2 * LAYERS
    for number in range(LAYERS):
        own = [place for place in places if f".{number}." in place]
        assert [place.partition(f".{number}.")[2] for place in own] == [
            f"{end}.bottleneck" for end in ends
        ]
    ran: list[int] = []
    for name in places:
        model.get_submodule(name).register_forward_hook(lambda *_: ran.append(1))
    ids = torch.arange(8)[None]
    with torch.inference_mode():
        without = model(input_ids=ids).logits
        assert not ran
        act(True)
        changed = model(input_ids=ids).logits
        assert len(ran) == 2 * LAYERS and not torch.equal(changed, without)
        act(False)
        assert torch.equal(model(input_ids=ids).logits, without)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_method_has_the_same_places(family: str) -> None:
    """Also after a base's preparation, which replaces some of the model's parts."""
    make, _ = FAMILIES[family]

    def ends(found: list[Block]) -> list[tuple[str, str]]:
        return [(one.attention_output, one.mlp_output) for one in found]

    plain = ends(blocks_of(model_of(make()), reference=family, remedy="-"))
    assert ends(blocks(shapes_only(make()))) == plain and len(plain) == LAYERS


def test_a_base_without_the_two_places_makes_the_claim_untestable(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MambaConfig(vocab_size=64, hidden_size=WIDTH, num_hidden_layers=LAYERS, state_size=4)
    monkeypatch.setattr(
        latency, "load_source", lambda *_, **__: SimpleNamespace(model=model_of(config))
    )
    # A measurement asks for no data.
    suite = suite_of(("adapters_cost_latency",), tmp_path, None, Study())  # type: ignore[arg-type]
    measure = f"{adapter_times.__module__}:{adapter_times.__name__}"
    found = try_to_measure(suite, "adapters_cost_latency", measure, [], Failures())
    assert isinstance(found, Evidence)
    assert found.untestable is not None
    assert "tiny: the attention of backbone.layers.0 does not end" in found.untestable
    assert "give a base whose blocks have both" in found.untestable
