"""Names of other tools in a study: each error says the key that is meant."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config.other_names import KEYS, NO_KEY, REMARKS, other_name_rule
from bakeoff.data.options import TaskOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.registry import METHODS
from bakeoff.search.options import SearchOptions
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.options import StudyOptions
from bakeoff.tasks.registry import task_kinds, task_type

STUDY: dict[str, Any] = {
    "name": "given",
    "base": "tiny",
    "task": {"source": "wire"},
    "search": None,
    "methods": {"lora": {}, "soft_prompt": {}, "prefix": {}},
}


def refusal(override: str) -> str:
    with pytest.raises(ConfigError) as caught:
        study_from_mapping(STUDY, [override], folder=Path.cwd())
    return str(caught.value)


def names(options: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(options)}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("r", "methods.NAME.rank"),
        ("lora_r", "methods.NAME.rank"),
        ("lora_alpha", "methods.NAME.alpha"),
        ("lora_dropout", "methods.NAME.dropout"),
        ("learning_rate", "methods.NAME.learning_rate"),
        ("protocol.learning_rate", "methods.NAME.learning_rate"),
        ("num_virtual_tokens", "methods.NAME.prompt_length"),
        ("num_train_epochs", "protocol.epochs"),
        ("protocol.num_train_epochs", "protocol.epochs"),
        ("epochs", "protocol.epochs"),
        ("max_grad_norm", "protocol.max_grad_norm"),
        ("lr_scheduler_type", "protocol.schedule"),
        ("warmup_steps", "protocol.warmup_ratio"),
        ("per_device_train_batch_size", "protocol.micro_batch_size"),
        ("gradient_accumulation_steps", "protocol.grad_accum_steps"),
        ("seed", "protocol.seeds"),
        ("protocol.seed", "protocol.seeds"),
        ("max_seq_length", "task.max_length"),
        ("task.max_seq_length", "task.max_length"),
        ("dataset", "task.source"),
        ("train_file", "task.source"),
        ("max_new_tokens", "generation.max_new_tokens"),
        ("task.max_new_tokens", "generation.max_new_tokens"),
        ("gradient_checkpointing", "engine.gradient_checkpointing"),
        ("model", "base"),
        ("base_model", "base"),
        ("model_name_or_path", "base"),
        ("methods.lora.r", "methods.lora.rank"),
        ("methods.lora.lora_alpha", "methods.lora.alpha"),
        ("methods.lora.num_train_epochs", "protocol.epochs"),
        ("methods.lora.lr", "methods.lora.learning_rate"),
        ("methods.lora.use_dora", "methods.lora.kind"),
        ("methods.soft_prompt.num_virtual_tokens", "methods.soft_prompt.prompt_length"),
        ("methods.prefix.num_virtual_tokens", "methods.prefix.prefix_length"),
        ("lora.r", "methods"),
    ],
)
def test_a_name_of_another_tool_is_given_its_key(given: str, key: str) -> None:
    message = refusal(f"{given}=3")
    assert message.startswith(given.removesuffix(".r") if given == "lora.r" else f"{given} = 3")
    assert f"unknown key; the key is {key}" in message
    rest = message.partition(f"the key is {key}")[2]
    assert rest[:1] in (".", ",", " ") and not rest[1:2].isalpha()
    assert "\n" not in message


@pytest.mark.parametrize(
    "name",
    ["qlora", "load_in_4bit", "optim", "output_dir", "max_steps", "eval_steps", "logging_steps"],
)
def test_what_has_no_key_has_a_remedy(name: str) -> None:
    assert f"unknown key; {NO_KEY[name]}" in refusal(f"{name}=true")


def test_a_kind_of_method_that_is_not_here_has_one_too() -> None:
    assert "'qlora' is not a method; quantization: nf4" in refusal("methods.qlora={}")


def test_a_name_of_another_tool_in_a_space_is_named() -> None:
    assert "search.space.lora_r" in (message := refusal("search={space: {lora_r: [1, 2]}}"))
    assert "did you mean rank?" in message


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("methods.x={kind: external, predictions: f.jsonl, rank: 3}", "predictions"),
        ("methods.x={kind: soft_prompt, rank: 3}", "prompt_length"),
        ("methods.x={kind: lora, prompt_length: 3}", "rank"),
        ("methods.x={kind: soft_prompt, lora_alpha: 3}", "prompt_length"),
    ],
)
def test_a_kind_without_the_key_names_those_that_it_has(change: str, known: str) -> None:
    """Not the key's own place again."""
    message = refusal(change)
    assert "methods.NAME" not in message
    assert "Known keys: " in message and known in message.partition("Known keys: ")[2]


def test_a_misspelling_still_names_the_nearest() -> None:
    assert "did you mean epochs?" in refusal("protocol.epoch=1")
    assert other_name_rule("protocol.epoch", "epoch", ["epochs"]) is None


def test_every_key_that_is_named_exists() -> None:
    kinds = typing.get_type_hints(StudyOptions)
    rooms = {name: names(kind) for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}
    rooms["search"] = names(SearchOptions)
    rooms["task"] = names(TaskOptions).union(
        *(names(task_type(k).options_type) for k in task_kinds())
    )
    rooms["methods"] = {"kind", "learning_rate"}.union(
        *(names(spec.options_type) for spec in METHODS.values())
    )
    for name, paths in KEYS.items():
        for path in paths:
            room, _, key = path.replace("NAME.", "").rpartition(".")
            assert key in (rooms[room] if room else names(StudyOptions)), (name, path)
    assert REMARKS.keys() <= KEYS.keys() and not NO_KEY.keys() & KEYS.keys()


def test_our_own_keys_are_found_where_they_are_not() -> None:
    kinds = typing.get_type_hints(StudyOptions)
    for section in ("protocol", "engine"):
        for key in names(kinds[section]):
            assert any(path == f"{section}.{key}" for path in KEYS.get(key, ())), key
