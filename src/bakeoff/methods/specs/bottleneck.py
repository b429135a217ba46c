"""The options of bottleneck adapters, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class BottleneckOptions:
    """Options of bottleneck adapters."""

    variant: Literal["houlsby", "pfeiffer"] = "pfeiffer"
    """``houlsby``: after attention and after the MLP, each on that part's output; ``pfeiffer``:
    after the MLP, on the sum of its output and the residual stream."""
    placement: Literal["sequential", "parallel"] = "sequential"
    """``parallel``: beside the MLP (He et al. 2022), on the residual stream that enters it."""
    reduction_factor: float | None = None
    """The model's width over the bottleneck's; null: 16, unless ``size`` is given."""
    size: int | None = None
    """The bottleneck's width itself."""
    activation: Literal["relu", "gelu", "gelu_new", "silu", "tanh"] = "relu"
    """Between the two layers."""
    scale: float = 1.0
    """Factor on what is added (He et al. 2022 use 4 in parallel)."""
    layers: tuple[int, ...] | None = None
    """The blocks that get one, counted from 0; null: all."""


SPEC: Final = MethodSpec(
    kind="bottleneck",
    method="bakeoff.methods.bottleneck:Bottleneck",
    stack="bakeoff.methods.bottleneck_stack:BottleneckStack",
    title="two small layers after, or beside, a block's attention and MLP",
    paper="Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2021, arXiv:2005.00247; "
    "He et al. 2022, arXiv:2110.04366",
    formula="places x (2 x width x size + size + width), places = layers, or twice as many",
    options_type=BottleneckOptions,
    default_learning_rate=1e-3,
    learning_rate_source=(
        "Houlsby et al. 2019, section 3.1 (3e-5 to 3e-3); 3e-4 from 1 billion on, as in "
        "LLM-Adapters (arXiv:2304.01933)"
    ),
    rates_by_size=(1e-3, 3e-4, 3e-4, 3e-4),
    option_sources={
        "reduction_factor": "Pfeiffer et al. 2021; of a width of 4,096 it makes the 256 of "
        "LLM-Adapters"
    },
    file_format=FileFormat.ADAPTERS,
    mergeable=False,
)
