"""A winner as a configuration of Axolotl or LLaMA-Factory, by their published keys."""

from __future__ import annotations

from typing import Any, Final

from bakeoff.base.injection import select_linear_layers
from bakeoff.errors import ConfigError
from bakeoff.inference.recipes.winner import Winner

_SCHEDULES: Final = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
_OPTIMIZERS: Final = {"32bit": "adamw_torch", "8bit": "adamw_bnb_8bit"}
"""By ``protocol.optimizer_states``, as Transformers calls them."""
EPS: Final = 1e-8
"""AdamW's, of every candidate."""


def axolotl_config(winner: Winner, base: str, revision: str | None) -> dict[str, Any]:
    """Keys of ``AxolotlInputConfig``; the rows are tokens with labels already.

    Raises:
        ConfigError: the method has no keys there.
    """
    protocol = winner.protocol
    config: dict[str, Any] = {
        "base_model": base,
        **({} if revision is None else {"revision_of_model": revision}),
        "tokenizer_config": "tokenizer",
        "datasets": [{"path": "train.jsonl", "ds_type": "json", "type": None}],
        "test_datasets": [
            {"path": "validation.jsonl", "ds_type": "json", "type": None, "split": "train"}
        ],
        "dataset_prepared_path": "prepared",
        "sequence_len": winner.max_length,
        "sample_packing": False,
        "pad_to_sequence_len": False,
        "train_on_inputs": False,
        "micro_batch_size": protocol.micro_batch_size,
        "gradient_accumulation_steps": protocol.grad_accum_steps,
        "num_epochs": protocol.epochs,
        "optimizer": _OPTIMIZERS[protocol.optimizer_states],
        "adam_beta1": protocol.betas[0],
        "adam_beta2": protocol.betas[1],
        "adam_epsilon": EPS,
        "learning_rate": winner.record.rate,
        "lr_scheduler": _SCHEDULES[protocol.schedule],
        "warmup_steps": _warmup(winner),
        "weight_decay": _decay(winner),
        **({} if protocol.max_grad_norm is None else {"max_grad_norm": protocol.max_grad_norm}),
        "seed": winner.record.seed,
        "logging_steps": 1,
        "evals_per_epoch": 1,
        "saves_per_epoch": 1,
        "output_dir": "trained",
        **_axolotl_precision(winner),
    }
    if winner.method.kind == "full":
        return config
    options = _low_rank(winner, "axolotl")
    return config | {
        "adapter": "lora",
        **_axolotl_quantization(winner),
        "lora_r": options.rank,
        "lora_alpha": _alpha(options),
        "lora_dropout": options.dropout,
        "lora_target_modules": _targets(winner),
        **({"peft_use_dora": True} if winner.method.kind == "dora" else {}),
        **({"peft_use_rslora": True} if options.rank_stabilised else {}),
        **_loraplus(options),
        **({"lora_rank_pattern": options.ranks} if options.ranks else {}),
        **({"lora_alpha_pattern": options.alphas} if options.alphas else {}),
    }


def llamafactory_config(winner: Winner, base: str, revision: str | None) -> dict[str, Any]:
    """Keys of ``ModelArguments``, ``DataArguments``, ``FinetuningArguments`` and Transformers' own.

    Raises:
        ConfigError: the method, or an option of it, has no keys there.
    """
    protocol = winner.protocol
    config: dict[str, Any] = {
        "model_name_or_path": base,
        **({} if revision is None else {"model_revision": revision}),
        "stage": "sft",
        "do_train": True,
        "dataset_dir": ".",
        "dataset": "bakeoff_train",
        "eval_dataset": "bakeoff_validation",
        "template": "empty",
        "cutoff_len": winner.max_length,
        "packing": False,
        "overwrite_cache": True,
        "per_device_train_batch_size": protocol.micro_batch_size,
        "gradient_accumulation_steps": protocol.grad_accum_steps,
        "num_train_epochs": protocol.epochs,
        "optim": _OPTIMIZERS[protocol.optimizer_states],
        "adam_beta1": protocol.betas[0],
        "adam_beta2": protocol.betas[1],
        "adam_epsilon": EPS,
        "learning_rate": winner.record.rate,
        "lr_scheduler_type": _SCHEDULES[protocol.schedule],
        "warmup_steps": _warmup(winner),
        "weight_decay": _decay(winner),
        "max_grad_norm": 0.0 if protocol.max_grad_norm is None else protocol.max_grad_norm,
        "seed": winner.record.seed,
        "logging_steps": 1,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "report_to": "none",
        "output_dir": "trained",
        **_precision(winner),
    }
    if winner.method.kind == "full":
        return config | {"finetuning_type": "full"}
    options = _low_rank(winner, "llamafactory")
    if options.ranks or options.alphas:
        raise ConfigError(
            "--recipe llamafactory: it has no keys for ranks or alphas of single layers "
            f"(methods.{winner.record.method}.ranks); take trl, peft or axolotl"
        )
    return config | {
        "finetuning_type": "lora",
        **_llamafactory_quantization(winner),
        "lora_rank": options.rank,
        "lora_alpha": _alpha(options),
        "lora_dropout": options.dropout,
        "lora_target": ",".join(_targets(winner)),
        **({"use_dora": True} if winner.method.kind == "dora" else {}),
        **({"use_rslora": True} if options.rank_stabilised else {}),
        **_loraplus(options),
    }


def _axolotl_quantization(winner: Winner) -> dict[str, Any]:
    """How the base is held; its 4 bits are ``nf4`` with quantized scales, as here."""
    match winner.base.quantization:
        case "none":
            return {}
        case "int8":
            return {"load_in_8bit": True}
        case kind:
            return {
                "adapter": "qlora",
                "load_in_4bit": True,
                "bnb_config_kwargs": {
                    "bnb_4bit_quant_type": kind,
                    "bnb_4bit_use_double_quant": True,
                },
            }


def _llamafactory_quantization(winner: Winner) -> dict[str, Any]:
    match winner.base.quantization:
        case "none":
            return {}
        case "int8":
            return {"quantization_bit": 8}
        case kind:
            return {
                "quantization_bit": 4,
                "quantization_type": kind,
                "double_quantization": True,
            }


def _loraplus(options: Any) -> dict[str, float]:
    """Both tools have PEFT's key; theirs then groups weights as PEFT does."""
    ratio = options.loraplus_lr_ratio
    return {} if ratio == 1.0 else {"loraplus_lr_ratio": ratio}


def _decay(winner: Winner) -> float:
    return winner.protocol.decay_of(winner.method.spec.weight_decay)


def _warmup(winner: Winner) -> int:
    """Updates, as a share of them has no key in every version of Transformers."""
    return round(winner.protocol.warmup_ratio * winner.schedule_updates)


def _low_rank(winner: Winner, tool: str) -> Any:
    """The options of LoRA or DoRA.

    Raises:
        ConfigError: for any other method, or a start that the tool does not know.
    """
    kind, options = winner.method.kind, winner.method.options
    if kind not in ("lora", "dora"):
        raise ConfigError(
            f"--recipe {tool}: it has no keys for {kind}; LoRA, DoRA and full tuning can be "
            "written for it, and trl and peft take every method that is in PEFT's files"
        )
    if options.init != "kaiming":
        raise ConfigError(
            f"--recipe {tool}: methods.{winner.record.method}.init: {options.init!r} is not "
            "written for it; trl and peft start from the very tensors"
        )
    return options


def _alpha(options: Any) -> int:
    """Both tools take whole numbers."""
    alpha = float(options.rank if options.alpha is None else options.alpha)
    if not alpha.is_integer():
        raise ConfigError(
            f"--recipe: alpha {alpha:g} is not a whole number, which these tools ask for; take trl "
            "or peft"
        )
    return int(alpha)


def _targets(winner: Winner) -> list[str]:
    """The shortest ends of layers' names that mean exactly the chosen ones, else full names."""
    names: list[str] = list(winner.method.targets)  # type: ignore[attr-defined]
    endings = sorted({name.rpartition(".")[2] for name in names})
    layers = list(winner.base.linear_layers())
    return endings if select_linear_layers(layers, endings, where="export") == names else names


def _precision(winner: Winner) -> dict[str, Any]:
    """What both computes in: half precision where the study's base did."""
    dtype = str(winner.base.compute_dtype).removeprefix("torch.")
    return {"bf16": dtype == "bfloat16", "fp16": dtype == "float16"}


def _axolotl_precision(winner: Winner) -> dict[str, Any]:
    return {**_precision(winner), "tf32": False}
