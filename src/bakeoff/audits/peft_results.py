"""The JSON results of huggingface/peft's ``method_comparison``: a file for each experiment.

Each file holds one run. Its last entry of ``train_info.metrics`` has what was measured on the test
set, under keys that begin with ``test``; scores of single rows are not published.
"""

from __future__ import annotations

from typing import Any

from bakeoff.audits.fields import Field
from bakeoff.audits.published import LeftOut, Run

REMEDY = "get the file again from method_comparison/*/results, or leave it out"
_TEST = "test "
# What training finds out, or what changes nothing in it.
_NOT_SETTINGS = {
    "peft_version",
    "rank_pattern",
    "inference_mode",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "task_type",
}
# Each method has its own; the method's name tells them apart.
_OWN_SETTINGS = {"optimizer_kwargs", "seed"}


def is_peft(content: Any) -> bool:
    """Whether parsed JSON is one of these results."""
    return isinstance(content, dict) and {"run_info", "train_info"} <= set(content)


def read_peft(content: Field, group: str) -> tuple[list[Run], list[LeftOut]]:
    """The run of one file, once for each test metric.

    Args:
        content: of the file. group: what it was published with.

    Raises:
        DataError: a key that is missing, or of another kind.
    """
    info, train = content["run_info"], content["train_info"]
    name, config = info["experiment_name"].text(), info["train_config"]
    status = train["status"].text()
    if status != "success":
        said = info.get("error_msg")
        why = f" ({said.value})" if said is not None and said.value else ""
        return [], [LeftOut(place=str(content.file), reason=f"ended as {status}{why}")]
    metrics = train["metrics"].entries()
    if not metrics:
        train["metrics"].fail("at least one entry, as the run ended with success")
    last = metrics[-1]
    tested = {key: value for key, value in last.items() if key.startswith(_TEST)}
    if not tested:
        last.fail(f"a key that begins with {_TEST!r}, as the run ended with success")
    model, loss = config["model_id"].text(), last.get("train loss")
    meta, made = content.get("meta_info"), info.get("created_at")
    runs = []
    for key, value in tested.items():
        found, is_share = value.number(), key.endswith("accuracy")
        if is_share and not 0.0 <= found <= 1.0:
            value.fail("a share from 0 to 1")
        runs.append(
            Run(
                group=group,
                method=_short(name, model),
                seed=str(config["seed"].whole()),
                metric=key,
                value=found,
                place=str(content.file),
                is_share=is_share,
                settings={"model": model, **_settings(config, info.get("peft_config"))},
                circumstances={} if meta is None else _circumstances(meta),
                training_loss=None if loss is None else loss.number(),
                made="" if made is None else made.text(),
            )
        )
    return runs, []


def _short(name: str, model: str) -> str:
    """``lora/llama-3.2-3B-rank32`` without the model, which is the same for all."""
    method, slash, rest = name.partition("/")
    prefix = model.rpartition("/")[2].lower() + "-"
    if slash and rest.lower().startswith(prefix) and len(rest) > len(prefix):
        return f"{method}/{rest[len(prefix) :]}"
    return name


def _settings(config: Field, own: Field | None) -> dict[str, str]:
    """Settings as texts; those of the method alone under ``peft.``."""
    found = {key: _plain(value.value) for key, value in config.items() if key not in _OWN_SETTINGS}
    found["peft.optimizer"] = _plain(config.mapping().get("optimizer_kwargs"))
    if own is not None:
        found |= {
            f"peft.{key}": _plain(value.value)
            for key, value in own.items()
            if key not in _NOT_SETTINGS
        }
    return found


def _plain(value: Any) -> str:
    """As text; lists, which stand for sets in these files, in order."""
    if isinstance(value, list):
        return "[" + ", ".join(sorted(map(_plain, value))) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in sorted(value.items())) + "}"
    return str(value)


def _circumstances(meta: Field) -> dict[str, str]:
    """Revisions of model and data, versions of libraries, and the accelerator."""
    found: dict[str, str] = {}
    model, data = meta.get("model_info"), meta.get("dataset_info")
    if model is not None:
        found |= _revision("model", model)
    if data is not None:
        found |= _revision("data", data)
        for key, value in data.items():
            if isinstance(value.value, dict):
                found |= _revision(key, value)
    packages, system = meta.get("package_info"), meta.get("system_info")
    for key, value in [] if packages is None else packages.items():
        if value.value is not None and key.endswith("-version"):
            found[key.removesuffix("-version")] = value.text()
    accelerator = None if system is None else system.get("accelerator")
    return found if accelerator is None else {**found, "accelerator": accelerator.text()}


def _revision(what: str, info: Field) -> dict[str, str]:
    sha = info.get("sha")
    return {} if sha is None else {f"revision of {what}": sha.text()[:8]}
