"""A norm's weight for each slot: passes side by side do not see each other's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from bakeoff.base.norms import normalise


class MeetingNorm(nn.Module):
    """Scales by its weight, as a model's own norm does, once another thread is there too."""

    def __init__(self, width: int, meeting: threading.Barrier) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.meeting = meeting

    def forward(self, x: Tensor) -> Tensor:
        self.meeting.wait(timeout=60)
        y = x * self.weight
        self.meeting.wait(timeout=60)
        return y


def test_threads_share_a_norm() -> None:
    norm = MeetingNorm(4, threading.Barrier(2))
    x_KND = torch.ones(3, 2, 4)
    weights = [torch.full((3, 4), 2.0), torch.full((3, 4), 5.0)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda weight_KD: normalise(norm, x_KND, weight_KD, None), weights))
    for y_KND, weight_KD in zip(found, weights, strict=True):
        assert torch.equal(y_KND, x_KND * weight_KD[:, None])
    assert torch.equal(norm.weight, torch.ones(4)), "the norm keeps its own"
