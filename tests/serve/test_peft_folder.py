"""Adapters that PEFT itself wrote, behind ``--adapter``: what is not plain is not ignored."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath
from bakeoff.serve.peft_folder import peft_method

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
LORA: dict[str, Any] = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    place = tmp_path_factory.mktemp("base")
    source = load_source("scratch:tiny-gpt-neo", root=place, cache_dir=place)
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def written(base: Base, folder: Path, config: peft.PeftConfig, **changes: Any) -> Path:
    """An adapter's folder of PEFT's, of a base by another path; ``changes`` go into its JSON."""
    model: Any = peft.get_peft_model(copy.deepcopy(base.source.model), config)
    model.save_pretrained(str(folder))
    file = folder / "adapter_config.json"
    given = json.loads(file.read_text(encoding="utf-8"))
    given |= {"base_model_name_or_path": "/elsewhere/the-base", **changes}
    file.write_text(json.dumps(given), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "more",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"bias": "all"},
        {"modules_to_save": ["ln_1"]},
        {"layers_to_transform": [0]},
        {"layers_to_transform": 0},
        {"layers_to_transform": [1], "layers_pattern": "h"},
        {"exclude_modules": ["v_proj"]},
    ],
    ids=lambda more: "-".join(map(str, next(iter(more.items())))),
)
def test_a_lora_that_is_not_plain_is_computed_by_peft(
    base: Base, tmp_path: Path, more: dict[str, Any]
) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA, **more))
    method = peft_method("a", folder, base)
    assert (method.kind, method.execution_path) == ("peft", ExecutionPath.OWN_BASE)
    assert method.load(folder)


def test_a_plain_one_is_ours(base: Base, tmp_path: Path) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA))
    method = peft_method("a", folder, base)
    assert method.kind == "lora" and method.load(folder)


def test_an_ia3_without_some_layers_is_computed_by_peft(base: Base, tmp_path: Path) -> None:
    config = peft.IA3Config(
        target_modules=["k_proj", "v_proj"],
        feedforward_modules=[],
        exclude_modules=["v_proj"],
        task_type="CAUSAL_LM",
    )
    method = peft_method("a", written(base, tmp_path, config), base)
    assert method.kind == "peft" and method.load(tmp_path)


@pytest.mark.parametrize("start", ["corda", "loftq", "lora_ga", "pissa_niter_4"])
def test_a_start_that_the_files_have_lost_is_refused(
    base: Base, tmp_path: Path, start: str
) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA), init_lora_weights=start)
    with pytest.raises(ConfigError, match=rf"--adapter a: .*{start}, which changed the frozen"):
        peft_method("a", folder, base)


def test_peft_does_not_repeat_a_start_from_random_singular_vectors(
    base: Base, tmp_path: Path
) -> None:
    """Once it does, such an adapter need not be refused."""
    ids = torch.arange(1, 9)[None]

    def logits(model: Any) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model.eval()(input_ids=ids).logits
        return found

    gaps = []
    for start in ("pissa", "pissa_niter_4"):
        # PEFT names the starts in a Literal, which a text of a loop is not.
        config = peft.LoraConfig(**LORA, init_lora_weights=start)  # type: ignore[arg-type]
        torch.manual_seed(0)
        saved: Any = peft.get_peft_model(copy.deepcopy(base.source.model), config)
        saved.save_pretrained(str(tmp_path / start))
        torch.manual_seed(1)
        bare: Any = copy.deepcopy(base.source.model)
        loaded = peft.PeftModel.from_pretrained(bare, str(tmp_path / start))
        gaps.append((logits(loaded) - logits(saved)).abs().max().item())
    assert gaps[0] <= 1e-5 < 1e-3 < gaps[1]


def test_an_activated_lora_is_refused(base: Base, tmp_path: Path) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA), alora_invocation_tokens=[5, 6])
    with pytest.raises(ConfigError, match=r"--adapter a: .*does not work"):
        peft_method("a", folder, base)


def test_another_type_loads_over_the_same_base_by_another_path(base: Base, tmp_path: Path) -> None:
    config = peft.LoHaConfig(
        r=2,
        target_modules=["q_proj", "v_proj"],
        rank_dropout=0.1,
        module_dropout=0.1,
        init_weights=False,
        task_type="SEQ_CLS",
    )
    folder = written(base, tmp_path, config)
    method = peft_method("a", folder, base)
    assert method.load(folder)


LOKR: dict[str, Any] = {
    "r": 2,
    "target_modules": ["q_proj", "v_proj"],
    "rank_dropout": 0.1,
    "rank_dropout_scale": True,
    "init_weights": False,
}


def test_a_switch_beside_a_dropout_stays_a_switch(base: Base, tmp_path: Path) -> None:
    method = peft_method("a", written(base, tmp_path, peft.LoKrConfig(**LOKR)), base)
    assert method.kind == "peft" and method.load(tmp_path)
    assert method.options.rank_dropout_scale is True


@pytest.mark.parametrize(
    "more",
    [
        {"arrow_config": {"top_k": 1}},
        {"kasa_config": {"beta": 1.0}},
        {"use_bdlora": {"nblocks": 2}},
        {"monteclora_config": {"num_samples": 2}},
        {"velora_config": {"num_groups": 8}},
        {"megatron_config": {"params_dtype": "float32"}},
    ],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("config_type", [peft.LoraConfig, peft.AdaLoraConfig])
def test_settings_that_no_code_here_computes_are_refused(
    base: Base, tmp_path: Path, config_type: type[Any], more: dict[str, Any]
) -> None:
    steps = {"total_step": 8} if config_type is peft.AdaLoraConfig else {}
    folder = written(base, tmp_path, config_type(**LORA, **steps), **more)
    key = next(iter(more))
    with pytest.raises(ConfigError, match=rf"--adapter a: .*{key} = .* cannot be computed here"):
        peft_method("a", folder, base)


@pytest.mark.parametrize("value", [True, 0, "rows", [1]])
def test_a_setting_that_this_peft_does_not_know_is_refused(
    base: Base, tmp_path: Path, value: object
) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA), some_later_key=value)
    with pytest.raises(ConfigError, match=r"--adapter a: .*some_later_key = .* is unknown to PEFT"):
        peft_method("a", folder, base)


UNSET: list[Any] = [None, False, "", [], {}]


@pytest.mark.parametrize(
    "more",
    [
        *({"some_later_key": value} for value in UNSET),
        {"base_quantization": "nf4"},
        {"megatron_core": None},
        {"use_qalora": True},
        {"eva_config": {"rho": 2.0}},
        {"runtime_config": {"ephemeral_gpu_offload": True}},
    ],
    ids=str,
)
def test_settings_that_change_nothing_are_read_over(
    base: Base, tmp_path: Path, more: dict[str, Any]
) -> None:
    method = peft_method("a", written(base, tmp_path, peft.LoraConfig(**LORA), **more), base)
    assert method.kind == "lora" and method.load(tmp_path)


def test_a_folder_of_something_else_is_refused(base: Base, tmp_path: Path) -> None:
    folder = written(base, tmp_path, peft.LoraConfig(**LORA), peft_type="NEW")
    with pytest.raises(ConfigError, match=r"--adapter a: .*of the type NEW"):
        peft_method("a", folder, base)
    (folder / "adapter_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--adapter a: .*names no peft_type"):
        peft_method("a", folder, base)
