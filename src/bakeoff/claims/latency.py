"""Measurements of time, in interleaved repeats, and of outputs, in plain Transformers.

All variants are one model with other hooks, or with other values in the same weights, so that
nothing but these differs: two copies, in other places of memory, take times that differ by
percents. The bottlenecks are Houlsby's (after attention and after the MLP), as in Hu et al. 2021,
table 1; their weights are random, since time does not depend on them.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bakeoff.base.blocks import blocks_of
from bakeoff.base.injection import linear_layers
from bakeoff.base.precision import choose_device
from bakeoff.base.weights.sources import load_source
from bakeoff.claims.contract import Floats
from bakeoff.claims.measuring import Context
from bakeoff.files import cache_folder

# Axes: B rows, T tokens, D inputs, E outputs, R rank.
_TOKENS: Final = 128
_REDUCTION: Final = 16
_RANK: Final = 8
_WARM: Final = 3
_PASSES: Final = (5, 25)
"""In one repeat, at least and at most. Their median counts: the slowest are those that other work
disturbed, the fastest those in which no thread had to be woken, which is as rare."""
_REPEAT_SECONDS: Final = 0.2
"""That the passes of a model fill in one repeat, within these numbers: short ones are disturbed as
long as long ones are."""
_OUTPUT_ROWS: Final = 2
_FORMATS: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def adapter_times(context: Context) -> dict[str, Floats]:
    """``bottleneck_B`` and ``merged_B`` [rounds]: seconds of a pass at a batch of 1 and of 8."""
    model, device = _model(context)
    act = _add_bottlenecks(model, context.facts.width, context.facts.reference)
    become = {"bottleneck": partial(act, True), "merged": partial(act, False)}
    found: dict[str, Floats] = {}
    for rows in (1, 8):
        ids = _ids(model, rows, 0).to(device)
        taken = _in_turns(model.to(device), become, ids, context.size.rounds)
        found |= {f"{name}_{rows}": seconds for name, seconds in taken.items()}
    return found


def merged_times(context: Context) -> dict[str, Floats]:
    """``merged_FORMAT``, ``base_FORMAT`` [rounds]: seconds of a pass of one row; and
    ``output_FORMAT`` [rounds]: the mean total variation between next-token distributions of the
    merged model and of base plus adapter; ``own_FORMAT`` [rounds]: that of base plus adapter and
    of itself in float32, which a pass of that format rounds by without any merge."""
    base, device = _model(context)
    factors = _random_lora(base)
    merged = copy.deepcopy(base)
    with torch.no_grad():
        for name, (a_DR, b_RE) in factors.items():
            merged.get_submodule(name).get_parameter("weight").add_(
                _as_weight(base.get_submodule(name), a_DR @ b_RE)
            )
    found: dict[str, Floats] = {}
    for name, dtype in _FORMATS.items():
        one, other = (copy.deepcopy(model).to(device, dtype) for model in (merged, base))
        timed = copy.deepcopy(other)
        become = {
            "merged": partial(_take_weights, timed, one, list(factors)),
            "base": partial(_take_weights, timed, other, list(factors)),
        }
        taken = _in_turns(timed, become, _ids(base, 1, 0).to(device), context.size.rounds)
        del timed, become
        found |= {f"{model}_{name}": seconds for model, seconds in taken.items()}
        _add_lora(other, factors, device, dtype)
        rows = [_ids(base, _OUTPUT_ROWS, seed).to(device) for seed in range(context.size.rounds)]
        found[f"output_{name}"] = np.array([_distance(one, other, ids) for ids in rows])
        del one
        if dtype is not torch.float32:
            exact = copy.deepcopy(base).to(device, torch.float32)
            _add_lora(exact, factors, device, torch.float32)
            found[f"own_{name}"] = np.array([_distance(exact, other, ids) for ids in rows])
    return found


def _add_lora(
    model: nn.Module,
    factors: Mapping[str, tuple[Tensor, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Lets layers add an adapter's part, which their weights do not hold."""
    for layer, (a_DR, b_RE) in factors.items():
        pair = (a_DR.to(device, dtype), b_RE.to(device, dtype))
        model.get_submodule(layer).register_forward_hook(_adds(*pair))


def _model(context: Context) -> tuple[nn.Module, torch.device]:
    source = load_source(context.facts.reference, root=Path.cwd(), cache_dir=cache_folder())
    model: nn.Module = source.model
    model.eval().requires_grad_(False)
    return model, choose_device(context.device)


def _ids(model: Any, rows: int, seed: int) -> Tensor:
    """[B, T] tokens at random."""
    generator = torch.Generator().manual_seed(seed)
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", _TOKENS)
    shape = (rows, min(_TOKENS, int(positions)))
    return torch.randint(0, int(model.config.vocab_size), shape, generator=generator)


@torch.inference_mode()
def _in_turns(
    model: nn.Module, become: Mapping[str, Callable[[], None]], ids: Tensor, rounds: int
) -> dict[str, Floats]:
    """[rounds] seconds of a pass of each variant, in turns, each round begun by another.

    Args:
        become: by variant, what makes the model that one; it is not timed.
    """
    least, most = _PASSES
    slowest = 0.0
    for make in become.values():
        make()
        slowest = max(slowest, min(_seconds(model, ids) for _ in range(_WARM)))
    passes = min(most, max(least, math.ceil(_REPEAT_SECONDS / slowest)))
    taken: dict[str, list[float]] = {name: [] for name in become}
    names = list(become)
    for number in range(rounds):
        turn = number % len(names)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        # Passes alternate as well, so that a slow moment meets all of them.
        for _ in range(passes):
            for name in (*names[turn:], *names[:turn]):
                become[name]()
                seconds[name].append(_seconds(model, ids))
        for name in names:
            taken[name].append(float(np.median(seconds[name])))
    return {name: np.array(found) for name, found in taken.items()}


@torch.no_grad()
def _take_weights(model: nn.Module, other: nn.Module, names: Sequence[str]) -> None:
    """Puts another's weights of some layers in the place of a model's own."""
    for name in names:
        weight = other.get_submodule(name).get_parameter("weight")
        model.get_submodule(name).get_parameter("weight").copy_(weight)


def _seconds(model: nn.Module, ids: Tensor) -> float:
    on_gpu = ids.is_cuda
    if on_gpu:
        torch.cuda.synchronize(ids.device)
    started = time.perf_counter()
    model(input_ids=ids, use_cache=False)
    if on_gpu:
        torch.cuda.synchronize(ids.device)
    return time.perf_counter() - started


@torch.inference_mode()
def _distance(one: nn.Module, other: nn.Module, ids: Tensor) -> float:
    """The mean total variation between two models' next-token distributions."""
    first, second = (
        model(input_ids=ids, use_cache=False).logits.float().softmax(-1) for model in (one, other)
    )
    return float(0.5 * (first - second).abs().sum(-1).mean())


class _Bottleneck(nn.Module):
    """x + up(relu(down(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        size = max(1, width // _REDUCTION)
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)

    def forward(self, x: Tensor) -> Tensor:
        update: Tensor = self.up(torch.relu(self.down(x)))
        return x + update


def _add_bottlenecks(model: Any, width: int, reference: str) -> Callable[[bool], None]:
    """Puts one after every block's attention and one after its MLP, as the method does.

    Args:
        model: a causal language model of Transformers. width: of its hidden states.
        reference: what the base is called in errors.

    Returns:
        What has them act, or not.

    Raises:
        BaseModelError: a block has no such two places, which makes the claim untestable.
    """
    handles: list[RemovableHandle] = []
    places: list[tuple[nn.Module, nn.Module]] = []
    found = blocks_of(
        model,
        reference=reference,
        remedy="adapters_cost_latency puts a bottleneck after the attention and after the MLP of "
        "every block; give a base whose blocks have both",
    )
    for name in (n for block in found for n in (block.attention_output, block.mlp_output)):
        layer, adapter = model.get_submodule(name), _Bottleneck(width).requires_grad_(False)
        layer.add_module("bottleneck", adapter)  # so that it goes to the device with the model
        places.append((layer, adapter))

    def act(acts: bool) -> None:
        for handle in handles:
            handle.remove()
        handles.clear()
        if acts:
            handles.extend(p.register_forward_hook(_passes(adapter)) for p, adapter in places)

    return act


def _passes(adapter: nn.Module) -> Callable[..., Tensor]:
    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        passed: Tensor = adapter(output)
        return passed

    return hook


def _random_lora(model: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Factors [D, R] and [R, E] for every linear layer, the update a tenth of the weight's size."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, layer in linear_layers(model, head=model.get_output_embeddings()).items():
        weight_DE = _as_weight(layer, layer.get_parameter("weight"))
        rows, columns = weight_DE.shape
        a_DR = torch.randn(rows, _RANK, generator=generator)
        b_RE = torch.randn(_RANK, columns, generator=generator)
        scale = 0.1 * weight_DE.norm() / (a_DR @ b_RE).norm()
        found[name] = (a_DR, b_RE * scale)
    return found


def _as_weight(layer: nn.Module, matrix: Tensor) -> Tensor:
    """[D, E] as the layer keeps its weight, and back: a Linear has it the other way round."""
    return matrix.T if isinstance(layer, nn.Linear) else matrix


def _adds(a_DR: Tensor, b_RE: Tensor) -> Callable[..., Tensor]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + (inputs[0] @ a_DR) @ b_RE

    return hook
