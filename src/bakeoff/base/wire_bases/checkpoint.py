"""Where the training of a member stands, in one file, to go on from to the bit.

The file is a safetensors file: tensors are the float32 weights, AdamW's state and the tokens that
wait for a batch; the rest is JSON in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bakeoff.base.wire_bases.unfinished import META, read_unfinished
from bakeoff.errors import CheckpointError

_HELD: Final = "held"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where training stands.

    Attributes:
        step: updates that were made. taken, held: of ``stream.Packed``. recent: the last losses.
    """

    step: int
    taken: int
    held: list[int]
    recent: list[float]


def write_checkpoint(
    file: Path,
    key: Mapping[str, Any],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    standing: Standing,
) -> None:
    """Writes the file whole, or leaves the earlier one.

    Args:
        key: of what is trained; only equal keys are gone on with.
    """
    tensors = {f"weights/{name}": p.detach() for name, p in model.named_parameters()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"state/{number}/{name}": value for name, value in state.items()}
    tensors[_HELD] = torch.tensor(standing.held, dtype=torch.int64)
    rest = {"step": standing.step, "taken": standing.taken, "recent": standing.recent}
    meta = {"key": dict(key), **rest}
    file.parent.mkdir(parents=True, exist_ok=True)
    torn = file.with_name(f"{file.name}.new")
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        torn,
        metadata={META: json.dumps(meta)},
    )
    torn.replace(file)


def take_up(
    file: Path,
    key: Mapping[str, Any],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Standing | None:
    """Puts model and optimizer where a file left them.

    Returns:
        None, with nothing changed, where there is no such file, or a torn one.

    Raises:
        CheckpointError: it is of another training, of which nothing is to be lost, or cannot be
            read.
    """
    same = json.loads(json.dumps(dict(key)))
    try:
        found = read_unfinished(file)
        if found is not None and found.differs(same):
            raise CheckpointError(found.refusal(same))
        with safe_open(file, framework="pt") as opened:
            meta = json.loads((opened.metadata() or {})[META])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, ValueError, KeyError):
        return None
    except OSError as error:
        raise CheckpointError(
            f"{file}: cannot be read ({error.strerror or error}); make it readable, or delete it "
            "to begin again"
        ) from error
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weights/{name}"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("state/"):
            _, number, part = name.split("/")
            state.setdefault(int(number), {})[part] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return Standing(
        step=int(meta["step"]),
        taken=int(meta["taken"]),
        held=tensors[_HELD].tolist(),
        recent=list(meta["recent"]),
    )
