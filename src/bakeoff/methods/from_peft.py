"""An adapter in PEFT's files that was trained elsewhere, as a method of this program.

LoRA, DoRA, (IA)³ and the trained prompts are computed by the code that trains them here; any other
type by the installed PEFT, over a copy of the base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from bakeoff.base.injection import select_linear_layers
from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.files import NOTED, PEFT_CONFIG, PEFT_WEIGHTS
from bakeoff.methods.low_rank.updates import pattern_for
from bakeoff.methods.registry import method_type, spec_of
from bakeoff.methods.specs.peft import field_names, options_of, peft_types

_PEFT: Final = "peft"
_PROMPTS: Final = {"PROMPT_TUNING": "soft_prompt", "P_TUNING": "p_tuning"}
_LORA_OF_PEFT_ALONE: Final = (
    "alora_invocation_tokens",
    "exclude_modules",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
)
"""Settings of LoRA that only PEFT's own code knows."""
_IA3_OF_PEFT_ALONE: Final = ("exclude_modules", "modules_to_save")
"""Likewise of (IA)³."""
_PRINCIPAL: Final = ("pissa", "olora")
"""Starts that change the frozen weights as well, in a way that PEFT repeats when it loads."""
_LOST: Final = ("corda", "loftq", "lora_ga", "pissa_niter")
"""Starts that change the frozen weights by what the files do not hold: the last by singular vectors
of random draws, so that PEFT itself loads another model than it saved."""
_REFUSED: Final = (
    "arrow_config",
    "kasa_config",
    "megatron_config",
    "monteclora_config",
    "use_bdlora",
    "velora_config",
)
"""Settings of LoRA, and of AdaLoRA which inherits them, that PEFT over a copy of the base does not
compute either: they are none that a study can give it, or need what is not there."""


def method_of_peft(folder: Path, base: Base, *, where: str) -> Method:
    """The method whose adapter a folder holds, with the options that its files name.

    Args:
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors``.
        base: what it was trained over. where: the path in the study, for errors.

    Raises:
        ConfigError: if a file is missing or cannot be read, or the type cannot be computed here.
    """
    config = _config(folder, where)
    _check_keys(config, folder / PEFT_CONFIG, where)
    kind, given = _kind_of(config, folder, base, where)
    options = spec_of(kind, where=where).read_options(given, path=where)
    return method_type(kind, where=where)(options, base, where=where)


def _config(folder: Path, where: str) -> Mapping[str, Any]:
    path = folder / PEFT_CONFIG
    if not path.is_file() or not (folder / PEFT_WEIGHTS).is_file():
        missing = PEFT_WEIGHTS if path.is_file() else PEFT_CONFIG
        raise ConfigError(
            f"{where}: {folder} holds no {missing}; give a folder with PEFT's {PEFT_CONFIG} and "
            f"{PEFT_WEIGHTS}, as save_pretrained writes them (no pickle is read)"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {path} cannot be read as JSON ({error})") from None
    if not isinstance(found, dict) or not isinstance(found.get("peft_type"), str):
        raise ConfigError(
            f"{where}: {path} names no peft_type; give the file that PEFT's save_pretrained wrote"
        )
    return found


def _check_keys(config: Mapping[str, Any], path: Path, where: str) -> None:
    """Refuses settings that would be read over, and the adapter taken for a plain one.

    Raises:
        ConfigError: a setting cannot be computed, or the installed PEFT does not know it.
    """
    from peft import __version__

    name = config["peft_type"]
    known = field_names(name)
    for key, value in config.items():
        # Releases of PEFT write what they do not use as null, false or an empty list.
        is_set = value is not None and value is not False and value not in ("", [], {})
        if not is_set or known is None or key in NOTED:
            continue
        if key not in known:
            raise ConfigError(
                f"{where}: {path}: {key} = {value!r} is unknown to PEFT {__version__}, so what "
                f"this {name} computes is unknown as well; install the PEFT that wrote it, or "
                "remove the key if it changes nothing"
            )
        if key in _REFUSED:
            raise ConfigError(
                f"{where}: {path}: {key} = {value!r} cannot be computed here; merge the adapter "
                "into its base and give the merged model instead"
            )


def _kind_of(
    config: Mapping[str, Any], folder: Path, base: Base, where: str
) -> tuple[str, dict[str, Any]]:
    """(the kind of method, its options as a study gives them)."""
    name = config["peft_type"]
    targets = _targets_that_exist(config.get("target_modules"), base) or config.get(
        "target_modules"
    )
    layers = _target_layers(targets, base)
    if name == "LORA" and not _needs_peft(config, folder, where):
        return "dora" if config.get("use_dora") else "lora", {
            "rank": config.get("r"),
            "alpha": config.get("lora_alpha"),
            "target_modules": targets,
            "ranks": _patterns_in_use(config.get("rank_pattern"), layers) or None,
            "alphas": _patterns_in_use(config.get("alpha_pattern"), layers) or None,
            "rank_stabilised": bool(config.get("use_rslora")),
        }
    if name == "IA3" and not _has_any(config, _IA3_OF_PEFT_ALONE):
        feedforward = _targets_that_exist(config.get("feedforward_modules"), base)
        return "ia3", {"target_modules": targets, "feedforward_modules": feedforward}
    if name in _PROMPTS:
        return _PROMPTS[name], {"prompt_length": config.get("num_virtual_tokens")}
    if name == "PREFIX_TUNING":
        return "prefix", {"prefix_length": config.get("num_virtual_tokens")}
    if name not in peft_types():
        raise ConfigError(
            f"{where}: {folder / PEFT_CONFIG} is of the type {name}, which cannot be computed "
            "here; merge the adapter into its base and give the merged model instead"
        )
    known = {field.name for field in fields(options_of(name))} - {"peft_type"}
    given = {key: config[key] for key in known if config.get(key) is not None}
    # The base computes in evaluation mode, where nothing drops out.
    given |= {key: 0.0 for key, value in given.items() if _is_dropout(key, value)}
    return _PEFT, {"peft_type": name, **given}


def _targets_that_exist(targets: Any, base: Base) -> Any:
    """Without the names of a list that the base has nothing of, which PEFT reads over.

    One list often serves many architectures. What the base has and an adapter cannot be on, such as
    its head, stays: that is refused.
    """
    if not isinstance(targets, list):
        return targets
    names = [name for name, _ in base.source.model.named_modules()]
    return [one for one in targets if any(f".{name}".endswith(f".{one}") for name in names)]


def _target_layers(targets: Any, base: Base) -> list[str]:
    """The layers that an adapter is on; none where its targets are refused later."""
    if not isinstance(targets, str | list) or not all(isinstance(one, str) for one in targets):
        return []
    try:
        return select_linear_layers(list(base.linear_layers()), targets, where="")
    except ConfigError:
        return []


def _patterns_in_use(patterns: Any, layers: Sequence[str]) -> Any:
    """Without the patterns that count for no layer, which PEFT reads over."""
    if not isinstance(patterns, dict) or not layers:
        return patterns
    try:
        used = {pattern_for(name, list(patterns)) for name in layers}
    except re.error:  # is said where the pattern is an option
        return patterns
    return {pattern: value for pattern, value in patterns.items() if pattern in used}


def _is_dropout(key: str, value: Any) -> bool:
    """Whether a setting is a share that drops out: a switch beside it stays what it is."""
    return "dropout" in key and isinstance(value, int | float) and not isinstance(value, bool)


def _needs_peft(config: Mapping[str, Any], folder: Path, where: str) -> bool:
    """Whether a LoRA has what PEFT's own code alone computes."""
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_LOST):
        raise ConfigError(
            f"{where}: {folder / PEFT_CONFIG} began with init_lora_weights {start}, which changed "
            "the frozen weights by what these files do not hold; give the merged model instead"
        )
    is_plain = config.get("bias", "none") == "none" and not start.startswith(_PRINCIPAL)
    return not is_plain or _has_any(config, _LORA_OF_PEFT_ALONE)


def _has_any(config: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether any of some settings is given; zero is one, such as the number of a layer."""
    values = [config.get(key) for key in keys]
    return any(value or (value == 0 and value is not False) for value in values)
