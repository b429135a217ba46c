"""Masks follow from seed, update, layer, row and position, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bakeoff.base.kernels.fused import DROPOUT_BITS
from bakeoff.methods.low_rank.dropout import dropped, threshold
from bakeoff.methods.training_pass import TrainingPass

WIDTH = 64
LAYER = 12345


def training(*seeds: int, update: int = 0, first_row: int = 0, num_rows: int = 4) -> TrainingPass:
    return TrainingPass(
        seed_K=torch.tensor(seeds),
        update_K=torch.full((len(seeds),), update),
        first_row=torch.tensor(first_row),
        num_rows=num_rows,
    )


def mask(
    now: TrainingPass, *shares: float, num_tokens: int = 16, layer: int = LAYER, width: int = WIDTH
) -> Tensor:
    """[K, B, T, D] what dropout makes of ones."""
    ones = torch.ones(len(shares), now.num_rows * num_tokens, width)
    threshold_K = torch.tensor([threshold(share) for share in shares], dtype=torch.int32)
    scale_K = torch.tensor([1 / (1 - share) for share in shares])
    found = dropped(ones, now, layer, threshold_K, scale_K)
    return found.view(len(shares), now.num_rows, num_tokens, width)


def test_what_kernels_are_tried_against_is_what_is_drawn() -> None:
    now = TrainingPass(
        seed_K=torch.tensor([7, 1 << 40]),
        update_K=torch.tensor([3, 0]),
        first_row=torch.tensor(2),
        num_rows=3,
    )
    threshold_K = torch.tensor([1 << 30, 1 << 29], dtype=torch.int32)
    scale_K = torch.tensor([2.0, 4 / 3])
    left = dropped(torch.ones(2, 6, 8), now, 123456789, threshold_K, scale_K) != 0
    assert int("".join(str(int(bit)) for bit in left.flatten().tolist()), 2) == DROPOUT_BITS


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_the_share_is_dropped_and_the_rest_scaled(share: float) -> None:
    found = mask(training(3, num_rows=32), share)
    kept = found != 0
    assert set(found[kept].tolist()) == {torch.tensor(1 / (1 - share)).item()}
    deviation = (share * (1 - share) / kept.numel()) ** 0.5
    assert kept.float().mean().item() == pytest.approx(1 - share, abs=4 * deviation)


def test_no_axis_shows_a_pattern() -> None:
    """Each row, position and feature keeps half; no two of them agree more than chance would."""
    kept = (mask(training(1, num_rows=32), 0.5, num_tokens=32)[0] != 0).double()
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        count = kept.numel() / kept.shape[axis]
        assert ((kept.mean(dim=others) - 0.5).abs() < 5 * 0.5 / count**0.5).all()
        signs = (2 * kept - 1).movedim(axis, 0).flatten(1)
        agreement = signs @ signs.t() / count
        assert (agreement.fill_diagonal_(0).abs() < 6 / count**0.5).all()


def test_a_slot_without_dropout_keeps_every_bit() -> None:
    x = torch.randn(2, 64, WIDTH)
    threshold_K = torch.tensor([0, threshold(0.5)], dtype=torch.int32)
    found = dropped(x, training(1, 2), LAYER, threshold_K, torch.tensor([1.0, 2.0]))
    assert torch.equal(found[0], x[0])
    assert not torch.equal(found[1], x[1])


def test_neighbours_micro_batches_and_padding_change_nothing() -> None:
    whole = mask(training(7, num_rows=8), 0.5)[0]
    assert torch.equal(mask(training(5, 7, num_rows=8), 0.2, 0.5)[1], whole)
    halves = [mask(training(7, first_row=row, num_rows=4), 0.5)[0] for row in (0, 4)]
    assert torch.equal(torch.cat(halves), whole)
    # A neighbour's prompt makes every row longer.
    assert torch.equal(mask(training(7, num_rows=8), 0.5, num_tokens=21)[0][:, :16], whole)


def test_seed_update_and_layer_each_draw_anew() -> None:
    now = training(7)
    first = mask(now, 0.5)
    assert torch.equal(mask(now, 0.5), first)
    others = [
        mask(training(8), 0.5),
        mask(replace(now, update_K=torch.tensor([1])), 0.5),
        mask(now, 0.5, layer=LAYER + 1),
    ]
    for other in others:
        assert ((other != 0) == (first != 0)).float().mean().item() == pytest.approx(0.5, abs=0.05)
