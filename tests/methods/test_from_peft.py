"""Adapters that PEFT trained and saved: the logits are those of PEFT's own loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.from_peft import method_of_peft

# PEFT warns of names that match nothing, which is what is tested, and of its own future.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

LOGITS = 3e-5
CAUSAL: dict[str, Any] = {"task_type": "CAUSAL_LM"}
RANKS = 6


def moved(model: PreTrainedModel, config: Any) -> Any:
    """PEFT's model with noise on what it trains, as after some training."""
    wrapped: Any = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return wrapped


@pytest.fixture
def loaded(
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    solo_logits: Callable[..., Tensor],
    ids_BT: Tensor,
) -> Callable[[Path], tuple[Method, dict[str, Tensor]]]:
    """Loads a folder here and by PEFT, and compares the logits."""

    def call(folder: Path) -> tuple[Method, dict[str, Tensor]]:
        method = method_of_peft(folder, base_of("llama"), where="x")
        tensors = method.load(folder)
        theirs: Any = peft.PeftModel.from_pretrained(fresh("llama"), str(folder)).eval()
        with torch.no_grad():
            expected = theirs(input_ids=ids_BT).logits
            bare: Any = fresh("llama")
            assert (expected - bare(input_ids=ids_BT).logits).abs().max() > 1e-3
        assert (solo_logits(method, tensors, ids_BT) - expected).abs().max() <= LOGITS
        return method, tensors

    return call


MATCHING_NOTHING: list[tuple[str, Any]] = [
    ("lora", peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "c_attn"], **CAUSAL)),
    ("lora", peft.LoraConfig(r=2, target_modules=["v_proj"], rank_pattern={"o_proj": 4}, **CAUSAL)),
    (
        "lora",
        peft.LoraConfig(
            r=2,
            target_modules=["q_proj", "v_proj", "c_attn"],
            rank_pattern={"c_attn": 4, "q_proj": 3, "self_attn.q_proj": 5},
            alpha_pattern={"o_proj": 7, "v_proj": 3},
            **CAUSAL,
        ),
    ),
    (
        "dora",
        peft.LoraConfig(r=2, target_modules=["q_proj", "c_attn"], use_dora=True, **CAUSAL),
    ),
    (
        "ia3",
        peft.IA3Config(
            target_modules=["k_proj", "down_proj", "c_attn", "c_fc"],
            feedforward_modules=["c_fc", "down_proj"],
            **CAUSAL,
        ),
    ),
    (
        "ia3",
        peft.IA3Config(target_modules=["k_proj", "c_fc"], feedforward_modules=["c_fc"], **CAUSAL),
    ),
]


@pytest.mark.parametrize(("kind", "config"), MATCHING_NOTHING)
def test_names_that_match_nothing_are_read_over(
    kind: str,
    config: Any,
    tmp_path: Path,
    fresh: Callable[[str], PreTrainedModel],
    loaded: Callable[[Path], tuple[Method, dict[str, Tensor]]],
) -> None:
    moved(fresh("llama"), config).save_pretrained(str(tmp_path))
    assert loaded(tmp_path)[0].kind == kind


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["c_attn", "c_fc"], "x.target_modules: 'c_(attn|fc)' matches no linear layer"),
        (["q_proj", "lm_head"], "x.target_modules: 'lm_head' matches no linear layer"),
        (["q_proj", "embed_tokens"], "x.target_modules: 'embed_tokens' matches no linear layer"),
    ],
)
def test_names_that_leave_nothing_or_are_of_other_parts_are_refused(
    targets: list[str],
    words: str,
    tmp_path: Path,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
) -> None:
    peft.get_peft_model(
        fresh("llama"), peft.LoraConfig(target_modules=["q_proj"], **CAUSAL)
    ).save_pretrained(str(tmp_path))
    config = peft.LoraConfig(target_modules=targets, **CAUSAL)
    config.save_pretrained(str(tmp_path))
    with pytest.raises(ConfigError, match=words):
        method_of_peft(tmp_path, base_of("llama"), where="x")


@pytest.mark.parametrize("config_type", [peft.LoraConfig, peft.AdaLoraConfig])
def test_layers_that_stand_in_the_base_more_than_once_are_pefts(
    config_type: type[Any],
    tmp_path: Path,
    fresh: Callable[[str], PreTrainedModel],
    loaded: Callable[[Path], tuple[Method, dict[str, Tensor]]],
) -> None:
    more = {"total_step": 400} if config_type is peft.AdaLoraConfig else {}
    config = config_type(
        target_modules=["q_proj", "v_proj"], layer_replication=[[0, 2], [0, 2]], **more, **CAUSAL
    )
    moved(fresh("llama"), config).save_pretrained(str(tmp_path))
    method, tensors = loaded(tmp_path)
    assert method.kind == "peft" and any("layers.3." in name for name in tensors)


@pytest.mark.parametrize("kept", [(0, 2, 4), (1,), ()], ids=len)
def test_an_adalora_with_pruned_ranks_has_the_shapes_of_its_files(
    kept: tuple[int, ...],
    tmp_path: Path,
    fresh: Callable[[str], PreTrainedModel],
    loaded: Callable[[Path], tuple[Method, dict[str, Tensor]]],
) -> None:
    config = peft.AdaLoraConfig(
        target_modules=["q_proj", "v_proj"],
        init_r=RANKS,
        target_r=3,
        tinit=1,
        tfinal=2,
        total_step=8,
        **CAUSAL,
    )
    theirs = moved(fresh("llama"), config)
    flags = [rank in kept for rank in range(RANKS)]
    pattern = {}
    with torch.no_grad():
        for name, parameter in theirs.base_model.model.named_parameters():
            if "lora_E" in name and "layers.0" in name:
                parameter[~torch.tensor(flags)] = 0
                pattern[name] = flags
    # As the last step of AdaLoRA's budget leaves it.
    theirs.peft_config["default"].rank_pattern = pattern
    theirs.save_pretrained(str(tmp_path / "theirs"))
    method, tensors = loaded(tmp_path / "theirs")
    ranks = {name: len(tensor) for name, tensor in tensors.items() if "lora_E" in name}
    assert set(ranks.values()) == {len(kept), RANKS}
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == method.shapes
    method.save(tensors, tmp_path / "ours")
    _, again = loaded(tmp_path / "ours")
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    assert method.merged_weights(tensors)
