"""A base that gives no finite numbers is refused at once, with the first part where they start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bakeoff.base.model import Base
from bakeoff.base.on_rows import check_base
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError

Run = Callable[..., Any]


@pytest.fixture
def source() -> Any:
    return Source(
        reference="this/base",
        model=scratch_model(scratch_config("scratch:tiny-gpt-neo")),
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )


def made(source: Any) -> Base:
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def spoil(model: nn.Module, name: str, value: float) -> None:
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(source: Any, value: float) -> None:
    name = "transformer.h.1.mlp.c_fc.weight"
    spoil(source.model, name, value)
    with pytest.raises(BaseModelError) as caught:
        made(source)
    said = str(caught.value)
    assert "starts in transformer.h.1.mlp.c_fc (Linear)" in said
    assert f"weights that are not finite are in {name}" in said


def test_numbers_that_grow_beyond_their_type_are_told_apart(source: Any) -> None:
    with torch.no_grad():
        source.model.get_parameter("transformer.h.1.mlp.c_fc.weight").fill_(3e38)
    with pytest.raises(BaseModelError, match="weights are finite, so the numbers grow beyond"):
        made(source)


def test_a_base_is_looked_at_on_the_rows_too(source: Any) -> None:
    base = made(source)
    check_base(base, torch.tensor([1, 2]), "a row")
    # A token that the short look at its loading does not have.
    spoil(base.model, "transformer.wte.weight", float("nan"))
    with pytest.raises(BaseModelError, match=r"on a row .* starts in transformer\.wte"):
        check_base(base, torch.tensor([1, 0, 2]), "a row")
    assert not any(module._forward_hooks for module in base.model.modules())


def test_a_study_says_so_before_anything_is_trained(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, trained: list[str]
) -> None:
    hidden = Base.hidden_states

    def broken(self: Base, embeds: Any, positions: Any) -> Any:
        return hidden(self, embeds, positions) * (float("nan") if positions.shape[1] > 20 else 1)

    monkeypatch.setattr(Base, "hidden_states", broken)
    outcome = run_small()
    assert outcome.code == 2 and trained == []
    assert "outputs on the first training row are not finite numbers" in outcome.message
    assert "which starts in lm_head" in outcome.message
