"""Recipes: the winner's run for other trainers, and the losses that they see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from bakeoff.base.precision import cpu_multiplies_bfloat16
from bakeoff.config import load_yaml
from bakeoff.engine.train import Trainer

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("quick")
PROTOCOL = {
    "epochs": 10,
    "schedule": "cosine",
    "warmup_ratio": 0.1,
    "patience": None,
    "seeds": [3],
    "max_grad_norm": 0.5,
}
AXOLOTL = [
    "adapter",
    "base_model",
    "bf16",
    "dataset_prepared_path",
    "datasets",
    "fp16",
    "gradient_accumulation_steps",
    "learning_rate",
    "logging_steps",
    "loraplus_lr_ratio",
    "lora_alpha",
    "lora_alpha_pattern",
    "lora_dropout",
    "load_in_4bit",
    "load_in_8bit",
    "bnb_config_kwargs",
    "lora_r",
    "lora_rank_pattern",
    "lora_target_modules",
    "lr_scheduler",
    "max_grad_norm",
    "micro_batch_size",
    "num_epochs",
    "optimizer",
    "output_dir",
    "pad_to_sequence_len",
    "peft_use_dora",
    "peft_use_rslora",
    "revision_of_model",
    "sample_packing",
    "saves_per_epoch",
    "evals_per_epoch",
    "seed",
    "sequence_len",
    "test_datasets",
    "tf32",
    "tokenizer_config",
    "train_on_inputs",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
]
"""Of ``AxolotlInputConfig`` and its parts, as its repository has them (July 2026)."""
LLAMAFACTORY = [
    "model_name_or_path",
    "model_revision",
    "stage",
    "do_train",
    "dataset_dir",
    "dataset",
    "eval_dataset",
    "template",
    "cutoff_len",
    "packing",
    "overwrite_cache",
    "finetuning_type",
    "quantization_bit",
    "quantization_type",
    "double_quantization",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_target",
    "loraplus_lr_ratio",
    "use_dora",
    "use_rslora",
]
"""Of ``ModelArguments``, ``DataArguments`` and ``FinetuningArguments`` (July 2026); the rest are
Transformers' own."""


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss of each update of the first slot, as it is trained here."""
    found: list[float] = []
    update = Trainer._step

    def spy(self: Trainer, *arguments: Any) -> Any:
        nll_K, tokens_K = update(self, *arguments)
        found.append(float(nll_K[0] / tokens_K[0]))
        return nll_K, tokens_K

    monkeypatch.setattr(Trainer, "_step", spy)
    return found


def trained_by_script(folder: Path, *, steps: int) -> list[float]:
    """The losses that a recipe's script writes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)  # the script needs nothing of this program
    done = subprocess.run(
        [sys.executable, "train.py", "--steps", str(steps), "--out", "parity"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (folder / "parity/losses.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_pefts_script_sees_the_losses_of_the_run_over_20_updates(
    place: Path, run_small: Run, cli: Run, losses: list[float]
) -> None:
    # With LoRA+, so that the parameters have two rates.
    lora = {"kind": "lora", "rank": 2, "learning_rate": 2e-3, "loraplus_lr_ratio": 4.0}
    methods = {"lora": lora}
    assert run_small(protocol=PROTOCOL, methods=methods).code == 0
    outcome = cli("export", "out", "--recipe", "peft", "--out", "recipe")
    assert outcome.code == 0, outcome.err
    assert "the best on validation" in outcome.out
    assert "the best on validation" in (place / "recipe/README.md").read_text("utf-8")
    theirs = trained_by_script(place / "recipe", steps=20)
    assert len(theirs) == 20 and len(losses) >= 20
    assert theirs == pytest.approx(losses[:20], rel=1e-4)
    assert (place / "recipe/parity/adapter/adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("recipe", "file", "known"),
    [("axolotl", "config.yaml", AXOLOTL), ("llamafactory", "train.yaml", LLAMAFACTORY)],
)
def test_configurations_have_keys_of_the_published_schemas(
    place: Path, run_small: Run, cli: Run, recipe: str, file: str, known: list[str]
) -> None:
    own = {"rank_stabilised": True, "loraplus_lr_ratio": 16.0}
    method = {"kind": "dora", "rank": 2, "learning_rate": 1e-2, **own}
    assert run_small(methods={"dora": method}).code == 0
    outcome = cli("export", "out", "--recipe", recipe, "--out", "recipe")
    assert outcome.code == 0, outcome.err
    config = load_yaml((place / "recipe" / file).read_text("utf-8"), where=file)
    transformers = set(TrainingArguments.__dataclass_fields__) if recipe != "axolotl" else set()
    assert set(config) <= set(known) | transformers
    rank = config["lora_r" if recipe == "axolotl" else "lora_rank"]
    assert (rank, config["learning_rate"], config["seed"]) == (2, 1e-2, 0)
    assert config["loraplus_lr_ratio"] == 16.0
    rows = (place / "recipe/train.jsonl").read_text("utf-8").splitlines()
    first = json.loads(rows[0])
    assert len(rows) == 16
    if recipe == "axolotl":
        assert list(first) == ["input_ids", "attention_mask", "labels"]
        supervised = [i for i, label in enumerate(first["labels"]) if label != -100]
        assert [first["labels"][i] for i in supervised] == [
            first["input_ids"][i] for i in supervised
        ]
    else:
        info = json.loads((place / "recipe/dataset_info.json").read_text("utf-8"))
        assert info["bakeoff_train"]["columns"] == {"prompt": "prompt", "response": "completion"}
        assert set(first) == {"prompt", "completion"} and "drew" in first["completion"]


@pytest.mark.parametrize("held", ["nf4", "int8"])
def test_a_quantized_winner_is_written_over_a_quantized_base(
    place: Path, run_small: Run, cli: Run, losses: list[float], held: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra quantization")
    method = {"kind": "lora", "rank": 2, "learning_rate": 1e-2, "quantization": held}
    assert run_small(methods={"lora": method}).code == 0
    configs = {}
    for recipe, file in (("axolotl", "config.yaml"), ("llamafactory", "train.yaml")):
        outcome = cli("export", "out", "--recipe", recipe, "--out", recipe)
        assert outcome.code == 0, outcome.err
        configs[recipe] = load_yaml((place / recipe / file).read_text("utf-8"), where=file)
        known = {*AXOLOTL, *LLAMAFACTORY, *TrainingArguments.__dataclass_fields__}
        assert set(configs[recipe]) <= known
    axolotl, llamafactory = configs["axolotl"], configs["llamafactory"]
    if held == "nf4":
        assert (axolotl["adapter"], axolotl["load_in_4bit"]) == ("qlora", True)
        assert axolotl["bnb_config_kwargs"]["bnb_4bit_quant_type"] == "nf4"
        assert (llamafactory["quantization_bit"], llamafactory["quantization_type"]) == (4, "nf4")
    else:
        assert (axolotl["adapter"], axolotl["load_in_8bit"]) == ("lora", True)
        assert llamafactory["quantization_bit"] == 8
    assert cli("export", "out", "--recipe", "peft", "--out", "recipe").code == 0
    readme = (place / "recipe/README.md").read_text("utf-8")
    assert "transformers bitsandbytes" in readme and f"| base held in | {held} |" in readme
    run = json.loads((place / "recipe/run.json").read_text("utf-8"))
    assert run["quantization"] == held and run["not_quantized"] == ["lm_head"]
    if held == "nf4":
        # Over the base as it is they are others, by 1e-4 and more. Where the processor multiplies
        # bfloat16, bitsandbytes rounds products that need no gradient to it.
        theirs = trained_by_script(place / "recipe", steps=4)
        near = 2e-4 if cpu_multiplies_bfloat16() else 1e-5
        assert theirs == pytest.approx(losses[:4], rel=near)


@pytest.mark.parametrize(("option", "value"), [("--rank", "8"), ("--precision", "float32")])
def test_settings_of_conversions_are_refused_with_a_recipe(
    cli: Run, option: str, value: str
) -> None:
    outcome = cli("export", "out", "--recipe", "peft", "--out", "recipe", option, value)
    assert outcome.code == 2
    assert f"{option} {value}: has no effect with --recipe peft" in outcome.message


def test_what_a_trainer_cannot_be_told_is_refused(run_small: Run, cli: Run) -> None:
    methods = {"head": {"kind": "head", "learning_rate": 1e-3}}
    assert run_small(methods=methods).code == 0
    for recipe in ("trl", "axolotl", "llamafactory", "peft"):
        outcome = cli("export", "out", "--recipe", recipe, "--out", "recipe")
        assert outcome.code == 2 and "head" in outcome.message, outcome.message
    unknown = cli("export", "out", "--recipe", "unsloth", "--out", "recipe")
    assert unknown.code == 2 and "is not a recipe" in unknown.message
    both = cli("export", "out", "--recipe", "trl", "--to", "peft", "--out", "recipe")
    assert both.code == 2 and "--to and --recipe" in both.message
