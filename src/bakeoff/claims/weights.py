"""Measurements of weights: ranks by energy, and what merging and subtracting leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bakeoff.base.injection import linear_layers
from bakeoff.base.weights.sources import load_source
from bakeoff.claims.contract import Floats
from bakeoff.claims.measuring import Context
from bakeoff.files import cache_folder
from bakeoff.methods.low_rank.lora import Lora
from bakeoff.methods.low_rank.updates import oriented

_ENERGY: Final = 0.9
_SHARES: Final = (5, 10, 25, 50, 75)
"""Per cent of the full rank at which the energy that is held is shown."""
_FORMATS: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def energies(matrix: Tensor) -> Floats:
    """[min(rows, columns)] the share of squared singular values that the first k hold."""
    return _held(torch.linalg.svdvals(matrix.double()))


def _held(singular: Tensor) -> Floats:
    squares = singular.square()
    total = float(squares.sum())
    if total == 0.0:  # a change of nothing has no rank
        return np.ones(len(squares))
    return np.asarray((squares.cumsum(0) / total).numpy(), dtype=np.float64)


@dataclass(frozen=True)
class Spectrum:
    """A matrix taken apart once, for its energies and for all that it is cut to.

    Attributes:
        matrix: itself, float32. left: [rows, K]. singular: [K], float64. right: [K, columns].
    """

    matrix: Tensor
    left: Tensor
    singular: Tensor
    right: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> Spectrum:
        """Computed in float64; what all matrices of a base have together is kept in float32."""
        left, singular, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        return cls(matrix, left.float(), singular, right.float())

    @property
    def energies(self) -> Floats:
        """See ``energies``."""
        return _held(self.singular)

    def cut_to(self, share: float) -> Tensor:
        """The nearest matrix whose rank is so many per cent of the full one.

        Args:
            share: 0 gives zeros, 100 the matrix itself.
        """
        rank = _rank_at(share, len(self.singular))
        if rank == len(self.singular):
            return self.matrix
        kept = self.left[:, :rank].double() * self.singular[:rank]
        nearest: Tensor = kept @ self.right[:rank].double()
        return nearest.float()


def _rank_at(share: float, full_rank: int) -> int:
    """The rank that is so many per cent of the full one; 0 where that is a half or less."""
    return round(full_rank * share / 100)


def rank_share(held: Floats) -> float:
    """The rank that holds 90 % of the energy, as a share of the full rank."""
    return float((np.searchsorted(held, _ENERGY - 1e-12) + 1) / len(held))


def weight_ranks(context: Context) -> dict[str, Floats]:
    """``weight_rank`` [M] of each linear layer of the base, and the energy at some shares."""
    model = load_source(context.facts.reference, root=Path.cwd(), cache_dir=cache_folder()).model
    layers = linear_layers(model, head=model.get_output_embeddings())
    held = [energies(layer.get_parameter("weight").detach()) for layer in layers.values()]
    return {"weight_rank": np.array([rank_share(one) for one in held]), **_curve(held)}


def update_ranks(context: Context) -> dict[str, Floats]:
    """Of full tuning's change of the linear layers, for each run.

    Returns:
        ``update_rank`` [S] and ``energy_P`` [S], the share of energy that P per cent of the full
        rank hold, both means over layers by their size; ``loss_P`` [S] on validation rows of the
        change cut to that rank, 0 being the change of all other weights alone and 100 the whole.
    """
    trained = context.trained
    shares, curves = [], []
    for method, tensors in trained.of(context.methods["full"]):
        before = dict(method.base.source_parameters())
        names = [f"{name}.weight" for name in context.facts.linears]
        own = {n: before[n].detach().float().cpu() for n in names}
        changes = {n: Spectrum.of(tensors[n] - own[n]) for n in names}
        held = [changes[n].energies for n in names]
        sizes = np.array([before[n].numel() for n in names], dtype=np.float64)
        shares.append(float(np.average([rank_share(one) for one in held], weights=sizes)))
        curve = {
            key: float(np.average(value, weights=sizes)) for key, value in _curve(held).items()
        }
        for share in (0, *_SHARES, 100):
            cut = {n: own[n] + changes[n].cut_to(share) for n in names}
            curve[f"loss_{share}"] = trained.loss_of(method, {**tensors, **cut})
        curves.append(curve)
    joined = {key: np.array([curve[key] for curve in curves]) for key in curves[0]}
    return {"update_rank": np.array(shares), **joined}


def changed_shares(context: Context) -> dict[str, Floats]:
    """``changed_FORMAT`` [S]: the share of weights that W + BA - BA leaves other than W."""
    found: dict[str, list[float]] = {name: [] for name in _FORMATS}
    for method, tensors in context.trained.of(context.methods["lora_8"]):
        assert isinstance(method, Lora)
        before = dict(method.base.source_parameters())
        pairs = [
            (before[f"{name}.weight"].detach().float().cpu(), oriented(layer, update))
            for name, layer in method.layers.items()
            for update in [method.update(name, tensors)]
        ]
        total = sum(weight.numel() for weight, _ in pairs)
        for name, dtype in _FORMATS.items():
            changed = sum(_changed(weight, update, dtype) for weight, update in pairs)
            found[name].append(changed / total)
    return {f"changed_{name}": np.array(shares) for name, shares in found.items()}


def _changed(weight: Tensor, update: Tensor, dtype: torch.dtype) -> int:
    """How many weights differ once the update is added and subtracted in that number format."""
    own, added = weight.to(dtype), update.to(dtype)
    return int(((own + added) - added != own).sum())


def _curve(held: list[Floats]) -> dict[str, Floats]:
    """``energy_P`` [M]: the energy that P per cent of the full rank hold, of each matrix.

    At the ranks to which ``Spectrum.cut_to`` cuts; a rank of 0 holds none.
    """
    return {
        f"energy_{share}": np.array(
            [one[rank - 1] if (rank := _rank_at(share, len(one))) else 0.0 for one in held]
        )
        for share in _SHARES
    }
