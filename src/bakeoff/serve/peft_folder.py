"""An adapter that PEFT wrote, as a method of ours: its configuration says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakeoff.base.model import Base
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.files import PEFT_CONFIG, PEFT_WEIGHTS
from bakeoff.methods.registry import method_type
from bakeoff.methods.specs.peft import config_class


def peft_method(name: str, folder: Path, base: Base) -> Method:
    """The method that reads an adapter's folder.

    Args:
        name: of the adapter, for errors. folder: in PEFT's format. base: what it is for.

    Raises:
        ConfigError: the folder holds no adapter that this base can take.
    """
    where = f"--adapter {name}"
    for part in (PEFT_CONFIG, PEFT_WEIGHTS):
        path = folder / part
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{where}: {folder} has no file {part} of its own; give a folder in PEFT's format"
            )
    try:
        config: Any = json.loads((folder / PEFT_CONFIG).read_text(encoding="utf-8"))
        kind, options = _kind_of(config)
        chosen = method_type(kind, where=where)
        return chosen(chosen.read_options(options, path=where), base, where=where)
    except BakeoffError as error:
        raise ConfigError(f"{where}: {folder} does not fit the base ({error})") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where}: {folder / PEFT_CONFIG} cannot be read ({error})") from None


def _kind_of(config: Any) -> tuple[str, dict[str, Any]]:
    """(the method's kind, its options)."""
    name = str(config["peft_type"]).upper()
    if name == "LORA":
        options = {
            "rank": config["r"],
            "alpha": config["lora_alpha"],
            "target_modules": config["target_modules"],
            "rank_stabilised": bool(config.get("use_rslora")),
            "ranks": config.get("rank_pattern") or None,
            "alphas": config.get("alpha_pattern") or None,
        }
        return ("dora" if config.get("use_dora") else "lora"), options
    if name == "IA3":
        keys = ("target_modules", "feedforward_modules")
        return "ia3", {key: config.get(key) for key in keys}
    if name == "PROMPT_TUNING":
        return "soft_prompt", {"prompt_length": config["num_virtual_tokens"]}
    if name == "PREFIX_TUNING":
        return "prefix", {"prefix_length": config["num_virtual_tokens"]}
    if name == "P_TUNING":
        return "p_tuning", {"prompt_length": config["num_virtual_tokens"]}
    default = config_class(name)()
    known = {
        key: value
        for key, value in config.items()
        if key not in _NOT_LEARNT and hasattr(default, key) and value != getattr(default, key)
    }
    return "peft", {"peft_type": name, **known}


_NOT_LEARNT = frozenset(
    (
        *("peft_type", "task_type", "inference_mode", "auto_mapping"),
        *("base_model_name_or_path", "revision", "peft_version"),
    )
)
