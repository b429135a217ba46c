"""Names that other tools give to settings, and the key that each has in a study.

They are those of Transformers' ``TrainingArguments``, PEFT's configurations, TRL, Axolotl and
LLaMA-Factory. A study's own keys are here too, as they are often looked for one level too high. No
name is taken for another silently: the error of an unknown key says which one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

_ANY: Final = "NAME"
"""Stands in a path for the study's own name of a method."""
_OF_ANY_METHOD: Final = ("kind", "learning_rate")
"""Keys that stand beside a method's own options, whichever method it is."""
_METHODS_ROOM: Final = re.compile(r"methods\.[^.]+\.")

_METHOD: Final = {
    "rank": ("r", "lora_r", "lora_rank", "rank", "lora_dim"),
    "alpha": ("lora_alpha", "alpha"),
    "dropout": ("lora_dropout", "dropout"),
    "target_modules": ("lora_target", "lora_target_modules", "target_modules"),
    "rank_stabilised": ("use_rslora", "rslora", "rank_stabilised", "rank_stabilized"),
    "loraplus_lr_ratio": ("loraplus_lr_ratio", "lora_plus_ratio", "loraplus_ratio"),
    "init": ("init_lora_weights", "prompt_tuning_init", "init"),
    "learning_rate": ("learning_rate", "lr"),
    "kind": ("peft_type", "adapter", "finetuning_type", "use_dora"),
    "num_layers": ("num_layers", "freeze_trainable_layers"),
    "reduction_factor": ("reduction_factor",),
}
_PROTOCOL: Final = {
    "epochs": ("num_train_epochs", "num_epochs", "max_epochs", "epochs", "n_epochs"),
    "micro_batch_size": (
        "per_device_train_batch_size",
        "micro_batch_size",
        "batch_size",
        "train_batch_size",
    ),
    "grad_accum_steps": (
        "gradient_accumulation_steps",
        "grad_accum_steps",
        "accumulate_grad_batches",
        "accumulation_steps",
    ),
    "max_grad_norm": ("max_grad_norm", "clip_norm", "gradient_clip_val", "clip_grad_norm"),
    "schedule": ("lr_scheduler_type", "lr_scheduler", "scheduler", "schedule"),
    "warmup_ratio": ("warmup_steps", "warmup_ratio", "num_warmup_steps", "warmup"),
    "weight_decay": ("weight_decay",),
    "optimizer_states": ("optimizer_states", "optim_bits"),
    "betas": ("adam_beta1", "adam_beta2", "betas"),
    "patience": ("early_stopping_patience", "patience"),
    "seeds": ("seed", "seeds", "random_seed", "random_state", "data_seed", "num_seeds"),
}
_TASK: Final = {
    "source": (
        "dataset",
        "datasets",
        "dataset_name",
        "dataset_path",
        "data",
        "data_path",
        "data_files",
        "train_file",
        "train_data",
        "train_dataset",
        "validation_file",
        "test_file",
        "source",
    ),
    "config": ("dataset_config", "dataset_config_name", "subset"),
    "max_length": (
        "max_seq_length",
        "max_seq_len",
        "max_length",
        "model_max_length",
        "cutoff_len",
        "sequence_len",
        "block_size",
    ),
    "max_target_tokens": ("max_target_length", "max_target_tokens"),
    "examples": ("max_train_samples", "max_samples", "num_examples", "examples"),
    "metrics": ("metrics", "compute_metrics"),
    "template": ("prompt_template", "template"),
    "chat_template": ("chat_template",),
    "cleaning": ("cleaning",),
    "split_by_hash": ("val_size", "val_set_size", "test_size", "split_by_hash"),
    "select_by": ("metric_for_best_model", "select_by"),
}
_GENERATION: Final = {
    "max_new_tokens": ("max_new_tokens", "max_gen_length", "generation_max_length"),
    "num_beams": ("num_beams", "generation_num_beams", "beams"),
    "strategy": ("do_sample", "strategy"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "no_repeat_ngram": ("no_repeat_ngram_size", "no_repeat_ngram"),
    "stop_tokens": ("stop", "stop_strings", "stop_tokens"),
    "batch_rows": ("per_device_eval_batch_size", "eval_batch_size", "batch_rows"),
}
_ENGINE: Final = {
    "gradient_checkpointing": ("gradient_checkpointing", "activation_checkpointing"),
    "compile": ("torch_compile", "compile"),
    "cuda_graph": ("cuda_graph",),
    "join_micro_batches": ("join_micro_batches",),
    "deterministic": ("full_determinism", "deterministic"),
}
_OTHERS: Final = {
    "search.trials": ("n_trials", "num_trials", "trials"),
    "search.learning_rates": ("learning_rates",),
    "search.pruner": ("pruner",),
    "search.space": ("space", "search_space"),
    "decision.metric": ("metric", "decide_by"),
    "decision.margin": ("margin",),
    "decision.level": ("level", "significance"),
    "base": (
        "model",
        "model_name",
        "model_name_or_path",
        "model_id",
        "base_model",
        "base_model_name_or_path",
        "pretrained_model_name_or_path",
    ),
    "revision": ("model_revision",),
    "precision": ("torch_dtype", "dtype", "bf16", "fp16", "mixed_precision"),
    "name": ("run_name", "experiment_name", "project_name"),
    "methods": ("method", "peft", "peft_config", "lora", "adapters"),
    "track": ("report_to", "logger", "wandb"),
    "checkpoint_minutes": ("save_steps", "checkpoint_interval"),
}

_PATHS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    f"methods.{_ANY}.": _METHOD,
    "protocol.": _PROTOCOL,
    "task.": _TASK,
    "generation.": _GENERATION,
    "engine.": _ENGINE,
    "": _OTHERS,
}

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **{
        name: (f"{room}{key}",)
        for room, keys in _PATHS.items()
        for key, names in keys.items()
        for name in names
    },
    "num_virtual_tokens": (f"methods.{_ANY}.prompt_length", f"methods.{_ANY}.prefix_length"),
    "prompt_length": (f"methods.{_ANY}.prompt_length", f"methods.{_ANY}.prefix_length"),
    "prefix_length": (f"methods.{_ANY}.prefix_length", f"methods.{_ANY}.prompt_length"),
}
"""By a name as other tools write it, what it may mean in a study, the likeliest path first."""

REMARKS: Final[Mapping[str, str]] = {
    "warmup_steps": "a share of all updates, as 0.03",
    "num_warmup_steps": "a share of all updates, as 0.03",
    "adam_beta1": "both in a list, as [0.9, 0.999]",
    "adam_beta2": "both in a list, as [0.9, 0.999]",
    "bf16": "precision: bfloat16",
    "fp16": "precision: float16",
    "use_dora": "kind: dora",
    "do_sample": "strategy: sample",
    "seed": "a count, or a list of seeds as [0]",
    "save_steps": "minutes of training between two checkpoints",
    "lora": "as methods: {lora: {rank: 8}}",
    "method": "as methods: {lora: {rank: 8}}",
    "train_file": "as source: {train: FILE, test: FILE}",
    "validation_file": "as source: {train: FILE, validation: FILE, test: FILE}",
    "test_file": "as source: {train: FILE, test: FILE}",
}
"""What is to be known where the value is written in another way."""

_QUANTISED: Final = (
    "quantization: nf4 (or int8) holds the base in 4 (or 8) bits, for the study or for one method: "
    "methods: {qlora: {kind: lora, quantization: nf4}}"
)
_ADAMW: Final = (
    "every method is trained by AdamW, so there is nothing to choose; leave it out, or hold its "
    "moments in 8 bits by protocol.optimizer_states: 8bit"
)
_BY_EPOCHS: Final = "training is counted in epochs; the key is protocol.epochs"
_EVERY_EPOCH: Final = (
    "every epoch is validated and logged, so there is nothing to choose; leave it out"
)
NO_KEY: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("qlora", "load_in_4bit", "load_in_8bit", "quantization_config", "bnb_4bit_quant_type"),
        _QUANTISED,
    ),
    **dict.fromkeys(("optim", "optimizer"), _ADAMW),
    **dict.fromkeys(("max_steps", "num_steps"), _BY_EPOCHS),
    **dict.fromkeys(("eval_steps", "eval_strategy", "evaluation_strategy"), _EVERY_EPOCH),
    **dict.fromkeys(("logging_steps", "logging_strategy"), _EVERY_EPOCH),
    "output_dir": "the run's folder is given on the command line; use bakeoff run --out DIR",
    "device": "the device is given on the command line; use bakeoff run --device cuda",
}
"""Names of what a study has no key for, and what to do instead."""


def other_name_rule(place: str, name: str, known: list[str]) -> str | None:
    """What an unknown key is called in a study; None where its name means nothing elsewhere.

    Args:
        place: where the key stands, with its name: ``methods.lora.r``.
        name: of the key. known: the keys that there are at its place.
    """
    if name in NO_KEY:
        return f"unknown key; {NO_KEY[name]}"
    room = place[: -len(name)]
    is_of_method = _METHODS_ROOM.fullmatch(room) is not None
    paths = [path for path in KEYS.get(name, ()) if path != place]
    remark = f" ({REMARKS[name]})" if name in REMARKS else ""
    for path in paths:
        key = path.rpartition(".")[2]
        is_here = key in known or (key in _OF_ANY_METHOD and is_of_method)
        if is_here and key != name and _room(path).startswith(_kind_of(room)):
            return f"unknown key; the key is {room}{key}{remark}"
    if is_of_method:
        # Its kind has none of these keys, and their place is the one where this key is.
        paths = [path for path in paths if not path.startswith(f"methods.{_ANY}.")]
    if not paths:
        return None
    of_method = f", where {_ANY} is a method's" if f".{_ANY}." in paths[0] else ""
    return f"unknown key; the key is {paths[0]}{of_method}{remark}"


def called_here(name: str, known: Collection[str]) -> list[str]:
    """The keys among ``known`` that another tool calls ``name``."""
    keys = (path.rpartition(".")[2] for path in KEYS.get(name, ()))
    return [key for key in keys if key in known]


def _room(path: str) -> str:
    return path[: len(path) - len(path.rpartition(".")[2])]


def _kind_of(room: str) -> str:
    """``methods.`` for ``methods.lora.``; a further test set takes a task's keys."""
    first = room.partition(".")[0]
    return {"also_test": "task.", "": ""}.get(first, f"{first}.")
