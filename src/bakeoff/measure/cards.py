"""Cards that a plan can be made for, and how long arithmetic would take on them.

The figures are the makers' peaks for dense products; the estimate of seconds is a roofline
(Williams et al. 2009, doi:10.1145/1498765.1498785) with one efficiency for arithmetic and one for
bandwidth.
No card's time has been measured against it, so that it is good for orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from bakeoff.base.devices import GpuProfile
from bakeoff.errors import ConfigError

ARITHMETIC_EFFICIENCY: Final = 0.4
BANDWIDTH_EFFICIENCY: Final = 0.7
LAUNCH_SECONDS: Final = 8e-6
"""From one operation to the next, where each is started from Python."""
USABLE_MEMORY: Final = 0.92
"""What the driver, the CUDA context and the libraries' workspaces leave of a card's memory."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU.

    Attributes:
        memory_gib: as it is sold.
        half: TFLOP/s of dense products in ``half_dtype``, accumulated in float32.
        half_dtype: bfloat16 where the hardware multiplies it, else float16.
        single: TFLOP/s in float32.
        bandwidth: GB/s of its memory.
        source: where the figures are published.
    """

    name: str
    memory_gib: int
    half: float
    half_dtype: torch.dtype
    single: float
    bandwidth: float
    source: str

    @property
    def usable_bytes(self) -> int:
        """Memory that a study may fill."""
        return int(USABLE_MEMORY * self.memory_gib * 2**30)

    def profile(self) -> GpuProfile:
        """What a trace that simulates it goes by, with all of its memory free."""
        return GpuProfile(is_ampere=self.half_dtype == torch.bfloat16, free_bytes=self.usable_bytes)

    def cost(self) -> Callable[[float, float, torch.dtype], float]:
        """The roofline: (flops, bytes moved, format) of one operation to seconds."""
        half, single = (ARITHMETIC_EFFICIENCY * 1e12 * rate for rate in (self.half, self.single))
        bandwidth = BANDWIDTH_EFFICIENCY * 1e9 * self.bandwidth

        def seconds(flops: float, moved: float, dtype: torch.dtype) -> float:
            rate = half if dtype.itemsize == 2 else single
            return max(LAUNCH_SECONDS, flops / rate, moved / bandwidth)

        return seconds


_BF16, _FP16 = torch.bfloat16, torch.float16
CARDS: Final[dict[str, Card]] = {
    name: Card(
        name=name,
        memory_gib=memory,
        half=half,
        half_dtype=dtype,
        single=single,
        bandwidth=bandwidth,
        source=source,
    )
    for name, memory, half, dtype, single, bandwidth, source in (
        ("P100", 16, 18.7, _FP16, 9.3, 732, "NVIDIA, Tesla P100 PCIe data sheet, 2016"),
        ("V100", 16, 125.0, _FP16, 15.7, 900, "NVIDIA, Tesla V100 data sheet, SXM2, 2018"),
        ("T4", 16, 65.0, _FP16, 8.1, 320, "NVIDIA, T4 data sheet, 2019"),
        ("RTX3090", 24, 71.0, _BF16, 35.6, 936, "NVIDIA, Ampere GA102 whitepaper, 2021"),
        ("A10", 24, 125.0, _BF16, 31.2, 600, "NVIDIA, A10 data sheet, 2021"),
        ("A6000", 48, 154.8, _BF16, 38.7, 768, "NVIDIA, Ampere GA102 whitepaper, 2021"),
        ("A100-40GB", 40, 312.0, _BF16, 19.5, 1555, "NVIDIA, A100 data sheet, SXM4, 2021"),
        ("A100-80GB", 80, 312.0, _BF16, 19.5, 2039, "NVIDIA, A100 data sheet, SXM4, 2021"),
        ("RTX4090", 24, 165.2, _BF16, 82.6, 1008, "NVIDIA, Ada GPU whitepaper, 2023"),
        ("L4", 24, 121.0, _BF16, 30.3, 300, "NVIDIA, L4 data sheet, 2023"),
        ("L40S", 48, 362.0, _BF16, 91.6, 864, "NVIDIA, L40S data sheet, 2023"),
        ("H100", 80, 989.0, _BF16, 67.0, 3350, "NVIDIA, H100 data sheet, SXM5, 2023"),
        ("H200", 141, 989.0, _BF16, 67.0, 4800, "NVIDIA, H200 data sheet, SXM5, 2024"),
    )
}


def card_named(name: str) -> Card:
    """The card of that name, whatever its case and dashes.

    Raises:
        ConfigError: if it is not in the table.
    """

    def plain(text: str) -> str:
        return "".join(text.lower().replace("gb", "").split()).replace("-", "").replace("_", "")

    found = [card for card in CARDS.values() if plain(card.name) == plain(name)]
    if not found:
        raise ConfigError(
            f"--gpu {name!r}: is not in the table of cards; known are {', '.join(CARDS)}"
        )
    return found[0]
