"""The files of the library ``adapters`` for one bottleneck adapter.

Held by ``tests/methods/golden/adapters``, which the library itself wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from bakeoff.base.blocks import stream_width
from bakeoff.base.model import Base
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import Tensors
from bakeoff.methods.files import check_settings, read_tensors, write_json, write_tensors

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter.safetensors"
NAME: Final = "bakeoff"
"""The adapter's name, which is part of each tensor's name."""
VERSION: Final = "adapters.1.3.0"
"""The release of the library whose form this is."""

ACTIVATIONS: Final = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "silu": "swish",
    "tanh": "tanh",
}
"""Our names of activations to the library's."""

_FIXED: Final[dict[str, Any]] = {
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "dropout": 0.0,
    "factorized_phm_W": True,
    "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "init_weights": "mam_adapter",
    "init_weights_seed": None,
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "learn_phm": True,
    "ln_after": False,
    "ln_before": False,
    "original_ln_after": True,
    "phm_bias": True,
    "phm_c_init": "normal",
    "phm_dim": 4,
    "phm_init_range": 0.0001,
    "phm_layer": False,
    "phm_rank": 1,
    "residual_before_ln": True,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "stochastic_depth": 0.0,
    "use_gating": False,
}
_MATTERS: Final = (
    "adapter_residual_before_ln",
    "inv_adapter",
    "ln_after",
    "ln_before",
    "original_ln_after",
    "phm_layer",
    "residual_before_ln",
    "use_gating",
)
"""What of the fixed settings changes what is computed."""


def reduction_factor(width: int, size: int) -> float:
    """A factor that the library turns into ``size``: it rounds ``width / factor`` down."""
    whole = width / size
    return whole if int(width // whole) == size else width / (size + 0.5)


def write(tensors: Tensors, folder: Path, settings: Mapping[str, Any], base: Base) -> None:
    """Writes an adapter as the library's ``save_adapter`` does.

    Args:
        tensors: by our names. folder: where to.
        settings: what its configuration says besides what is always the same.
        base: the base that it belongs to.
    """
    write_json(
        {
            "config": _FIXED | dict(settings),
            "hidden_size": stream_width(base),
            "model_class": type(base.model).__name__,
            "model_name": base.source.reference,
            "model_type": base.model_type,
            "name": NAME,
            "version": VERSION,
        },
        folder / CONFIG,
    )
    write_tensors({_name(name): tensor for name, tensor in tensors.items()}, folder / WEIGHTS)


def read(
    folder: Path, settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Reads what ``write`` or the library wrote, under our names.

    Raises:
        CheckpointError: if a file is missing, torn, or does not fit.
    """
    path = folder / CONFIG
    check_settings(path, {})
    found = json.loads(path.read_text(encoding="utf-8"))
    config, name = found.get("config"), found.get("name", NAME)
    if not isinstance(config, dict) or not isinstance(name, str):
        raise CheckpointError(
            f"{path}: holds no configuration of a bottleneck adapter; give a folder that bakeoff "
            "or the library adapters wrote"
        )
    # The widths are in the tensors; a factor may be written in many ways.
    wanted = {k: v for k, v in settings.items() if k != "reduction_factor"}
    for key, value in (wanted | {key: _FIXED[key] for key in _MATTERS}).items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"{path}: {key} is {config[key]!r}, but the study's method needs {value!r}; the "
                "adapter belongs to other options"
            )
    tensors = read_tensors(
        folder / WEIGHTS, {_name(key, name): shape for key, shape in shapes.items()}
    )
    return {key: tensors[_name(key, name)] for key in shapes}


def _name(name: str, adapter: str = NAME) -> str:
    """``BLOCK.output_adapters.down.weight`` to the library's name."""
    place, part, kind = name.rsplit(".", 2)
    layer = "adapter_down.0" if part == "down" else "adapter_up"
    return f"{place}.adapters.{adapter}.{layer}.{kind}"
