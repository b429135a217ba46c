"""The options of BitFit, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class BitFitOptions:
    """Options of BitFit."""

    norms: bool = False
    """Whether the norms' weights are trained too; a base without biases has nothing else."""


SPEC: Final = MethodSpec(
    kind="bitfit",
    method="bakeoff.methods.bitfit:BitFit",
    stack="bakeoff.methods.bitfit:BitFitStack",
    title="the biases of linear layers and norms (on request norms' weights)",
    paper="Ben Zaken et al. 2022, arXiv:2106.10199",
    formula="all biases; with norms, also the weights of all norms",
    options_type=BitFitOptions,
    default_learning_rate=1e-3,
    learning_rate_source="Ben Zaken et al. 2022, appendix A.2 (1e-4 to 1e-3)",
    file_format=FileFormat.OWN,
    mergeable=True,
)
