"""A weight in 8 or 4 bits: how it is packed, and how it is unpacked for a moment.

By bitsandbytes, whose formats these are: NF4 with double quantisation (Dettmers et al. 2023,
arXiv:2305.14314, section 3) and the rows of LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339,
section 2). The inputs of a layer are never quantised.

Axis letters: ``D`` width in, ``E`` width out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import torch
from torch import Tensor

from bakeoff.base.devices import kind_of
from bakeoff.errors import ConfigError

Kind = Literal["int8", "nf4", "fp4"]
"""``fp4`` is of checkpoints that others have quantised."""

BLOCK: Final = 64
"""Weights that share a scale in NF4."""
SCALES_BLOCK: Final = 256
"""Scales that share a scale of their own."""
_INT8_STEPS: Final = 127
_FOUR_BITS: Final[tuple[str, ...]] = ("packed", "absmax", "nested_absmax", "offset", "code")
_ONE_LEVEL: Final[tuple[str, ...]] = ("packed", "absmax")
_EIGHT_BITS: Final[tuple[str, ...]] = ("packed", "absmax")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the numbers of one weight are laid out.

    Attributes:
        kind: the format. num_out: E. num_in: D.
        block: weights that share a scale; of 8 bits a whole row does.
        scales_block: scales that share a scale, or 0 where they are float32.
    """

    kind: Kind
    num_out: int
    num_in: int
    block: int = BLOCK
    scales_block: int = SCALES_BLOCK

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that hold it, in the order of ``unpacked``'s arguments."""
        if self.kind == "int8":
            return _EIGHT_BITS
        return _FOUR_BITS if self.scales_block else _ONE_LEVEL


def bitsandbytes() -> Any:
    """The library, which is an optional one.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return _imported()
    except ImportError as error:
        raise ConfigError(
            f"quantization: needs bitsandbytes, which cannot be imported ({error}); install it "
            "with `pip install 'bakeoff[quantization]'`, or set quantization: none"
        ) from error


@cache
def _imported() -> Any:
    import bitsandbytes.functional

    return bitsandbytes


@torch.no_grad()
def pack(weight_ED: Tensor, kind: Kind) -> tuple[Layout, dict[str, Tensor]]:
    """Quantises a weight where it is.

    Args:
        weight_ED: [E, D] of any floating format; on ``meta`` only the shapes are made.
        kind: of the format.

    Returns:
        How it is laid out, and its tensors by name.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    num_out, num_in = weight_ED.shape
    layout = Layout(kind=kind, num_out=num_out, num_in=num_in)
    if weight_ED.device.type == "meta":
        return layout, _shapes(layout)
    functional = bitsandbytes().functional
    if kind == "int8":
        # From 16 bits, as bitsandbytes' own layers do everywhere: its kernel takes no other format.
        packed, absmax, _ = functional.int8_vectorwise_quant(weight_ED.contiguous().half())
        return layout, {"packed": packed, "absmax": absmax.float()}
    packed, state = functional.quantize_4bit(
        weight_ED.contiguous(), blocksize=BLOCK, compress_statistics=True, quant_type=kind
    )
    return layout, of_state(packed, state)[1]


def of_state(packed: Tensor, state: Any) -> tuple[Layout, dict[str, Tensor]]:
    """What ``pack`` gives, from a weight in 4 bits as bitsandbytes has it, and its state."""
    num_out, num_in = state.shape
    layout = Layout(
        kind=state.quant_type,
        num_out=int(num_out),
        num_in=int(num_in),
        block=int(state.blocksize),
        scales_block=int(state.state2.blocksize) if state.nested else 0,
    )
    found = {"packed": packed.detach(), "absmax": state.absmax}
    if state.nested:
        found |= {
            "nested_absmax": state.state2.absmax,
            "offset": state.offset.float(),
            # The same 256 numbers for every layer.
            "code": _shared_code(state.state2.code),
        }
    return layout, found


_codes: dict[tuple[torch.device, tuple[float, ...]], Tensor] = {}


def _shared_code(code: Tensor) -> Tensor:
    return _codes.setdefault((code.device, tuple(code.tolist())), code)


@cache
def _meta_code() -> Tensor:
    """Shared by all layers, as the real one is."""
    return torch.empty(256, device="meta")


def _shapes(layout: Layout) -> dict[str, Tensor]:
    """Tensors without values, as ``pack`` would make them."""

    def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    size = layout.num_out * layout.num_in
    if layout.kind == "int8":
        return {
            "packed": empty((layout.num_out, layout.num_in), torch.int8),
            "absmax": empty((layout.num_out,), torch.float32),
        }
    blocks = math.ceil(size / layout.block)
    return {
        "packed": empty((math.ceil(size / 2), 1), torch.uint8),
        "absmax": empty((blocks,), torch.uint8),
        "nested_absmax": empty((math.ceil(blocks / layout.scales_block),), torch.float32),
        "offset": empty((), torch.float32),
        "code": _meta_code(),
    }


def packed_bytes(size: int, num_out: int, kind: Kind) -> int:
    """Bytes of a weight of so many numbers, the codes that all layers share not counted."""
    if kind == "int8":
        return size + 4 * num_out
    blocks = math.ceil(size / BLOCK)
    return math.ceil(size / 2) + blocks + 4 * math.ceil(blocks / SCALES_BLOCK) + 4


def unpacked(layout: Layout, dtype: torch.dtype, tensors: tuple[Tensor, ...]) -> Tensor:
    """[E, D] the weight in ``dtype``, made now; the caller lets go of it.

    Args:
        layout: of the weight. dtype: of the result. tensors: in the order of ``Layout.names``.
    """
    if layout.kind == "int8":
        packed_ED, absmax_E = tensors
        scale_E1 = absmax_E[:, None] / _INT8_STEPS
        if kind_of(packed_ED.device) == "cpu":
            return (packed_ED * scale_E1).to(dtype)
        # The same numbers, which a card rounds as it writes them: 3 bytes of each pass, not 11.
        weight_ED = torch.empty(packed_ED.shape, dtype=dtype, device=packed_ED.device)
        return torch.mul(packed_ED, scale_E1, out=weight_ED)
    bitsandbytes()  # registers the operators
    packed, absmax = tensors[:2]
    if layout.scales_block:
        nested_absmax, offset, code = tensors[2:]
        scales = torch.ops.bitsandbytes.dequantize_blockwise(
            absmax, nested_absmax, code, layout.scales_block, torch.float32
        )
        absmax = scales + offset
    weight: Tensor = torch.ops.bitsandbytes.dequantize_4bit(
        packed, absmax, layout.block, layout.kind, (layout.num_out, layout.num_in), dtype
    )
    return weight
