"""Branches behind a shared prompt attend as each would behind a prompt of its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bakeoff.base.attention.interface import attend, decoding
from bakeoff.base.attention.terms import Terms
from bakeoff.base.branches import BranchedState
from bakeoff.base.prefix import Prefix, prefixed

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
LENGTHS = [5, 9, 1]
"""Tokens of the three rows' prompts."""
BRANCHES = [[2, 4], [3], [1, 1, 3]]
"""Tokens of each row's branches."""
POSITIONS = 9
PREFIX_LENGTHS = [3, 0]
PREFIX_OF_ROW = torch.tensor([0, 1, 0])


def drawn(generator: torch.Generator, heads: int, count: int) -> Tensor:
    return torch.randn(1, heads, count, WIDTH, generator=generator)


class Layer(nn.Module):
    """Says which layer it is, as Transformers' attention does."""

    layer_idx = 0


def prefix_of(generator: torch.Generator) -> Prefix:
    shape = (2, KEY_HEADS, max(PREFIX_LENGTHS), WIDTH)
    keys, values = (torch.randn(shape, generator=generator) for _ in range(2))
    return Prefix(
        layers=((keys, values),),
        lengths_K=torch.tensor(PREFIX_LENGTHS),
        slot_R=PREFIX_OF_ROW,
    )


TERMS = {
    "plain": None,
    "cap": Terms(softcap=0.7),
    "sinks": Terms(sinks_H=torch.linspace(-1, 2, HEADS)),
    "slopes": Terms(slopes_H=torch.linspace(0.1, 0.8, HEADS)),
    "all": Terms(
        softcap=2.0,
        sinks_H=torch.linspace(-1, 2, HEADS),
        slopes_H=torch.linspace(0.1, 0.8, HEADS),
        bias_factor=0.5,
    ),
}


@pytest.mark.parametrize("terms", TERMS.values(), ids=list(TERMS))
@pytest.mark.parametrize("has_prefix", [False, True])
@pytest.mark.parametrize("window", [None, 2, 4, 7])
def test_branches_attend_as_each_alone(
    window: int | None, has_prefix: bool, terms: Terms | None
) -> None:
    generator = torch.Generator().manual_seed(3)
    prefix = prefix_of(generator) if has_prefix else None
    layer = Layer()
    # Query, keys and values of each row's prompt and of each of its branches.
    heads = (HEADS, KEY_HEADS, KEY_HEADS)
    prompts = [[drawn(generator, h, n) for h in heads] for n in LENGTHS]
    branches = [[[drawn(generator, h, n) for h in heads] for n in row] for row in BRANCHES]

    def padded(tensors: list[Tensor], size: int) -> Tensor:
        # What is padding must make no difference.
        rows = [
            torch.cat([t, torch.full((1, t.shape[1], size - t.shape[2], WIDTH), 7.0)], dim=2)
            for t in tensors
        ]
        return torch.cat(rows)

    state = BranchedState(3, POSITIONS + 6, prefix, torch.device("cpu"))
    with decoding(state), prefixed(prefix):
        whole = attend(
            *(padded([row[part] for row in prompts], POSITIONS) for part in range(3)),
            module=layer,
            scaling=None,
            window=window,
            terms=terms,
        )
    state.end_prompts(torch.tensor(LENGTHS), POSITIONS)
    # All branches at once, and each row's last ones in a pass of their own.
    found: dict[tuple[int, int], Tensor] = {}
    for chosen in ([[0, 1], [0], [0, 1, 2]], [[1], [0], [2]]):
        width = max(sum(BRANCHES[r][b] for b in mine) for r, mine in enumerate(chosen))
        numbers = torch.full((3, width), -1)
        tokens = torch.zeros(3, width, dtype=torch.int64)
        for row, mine in enumerate(chosen):
            counts = [BRANCHES[row][b] for b in mine]
            numbers[row, : sum(counts)] = torch.tensor(mine).repeat_interleave(torch.tensor(counts))
            tokens[row, : sum(counts)] = LENGTHS[row] + torch.cat(
                [torch.arange(count) for count in counts]
            )
        state.branch(numbers, tokens)
        joined = [
            [torch.cat([branches[row][b][part] for b in mine], dim=2) for part in range(3)]
            for row, mine in enumerate(chosen)
        ]
        with decoding(state):
            output = attend(
                *(padded([row[part] for row in joined], width) for part in range(3)),
                module=layer,
                scaling=None,
                window=window,
                terms=terms,
            )
        assert torch.isfinite(output).all()
        for row, mine in enumerate(chosen):
            for b in mine:
                again = output[row, :, numbers[row] == b]
                if (row, b) in found:
                    torch.testing.assert_close(found[row, b], again)
                found[row, b] = again

    for row, prompt in enumerate(prompts):
        own = None
        if prefix is not None:
            own = Prefix(
                layers=prefix.layers,
                lengths_K=prefix.lengths_K,
                slot_R=PREFIX_OF_ROW[row : row + 1],
            )
        for b, branch in enumerate(branches[row]):
            parts = [torch.cat([p, q], dim=2) for p, q in zip(prompt, branch, strict=True)]
            with prefixed(own):
                expected = attend(*parts, module=layer, scaling=None, window=window, terms=terms)[0]
            torch.testing.assert_close(found[row, b], expected[:, LENGTHS[row] :])
            torch.testing.assert_close(whole[row, :, : LENGTHS[row]], expected[:, : LENGTHS[row]])
