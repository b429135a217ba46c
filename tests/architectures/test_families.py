"""Every family trains and writes as with Transformers and PEFT, or is refused with a reason."""

from __future__ import annotations

import pytest

from bakeoff.errors import BaseModelError
from tests.architectures.checks import TOLERANCE, Gaps, base_of, compare
from tests.architectures.families import FAMILIES, REFUSED, is_known

SELDOM = (
    "apertus",
    "arcee",
    "codegen",
    "deepseek_v2",
    "ernie4_5",
    "falcon new",
    "gemma",
    "glm",
    "gpt_bigcode",
    "granitemoe",
    "helium",
    "hunyuan_v1_dense",
    "ministral3",
    "mistral3",
    "nanochat",
    "olmo",
    "olmoe",
    "phimoe",
    "qwen2_5_vl",
    "seed_oss",
)
"""Families of which another in the list does all that they do."""
EXPERTS = ("deepseek_v3", "gpt_oss", "llama4_text", "mixtral", "qwen3_moe")
SELDOM_EXPERTS = ("deepseek_v2", "glm4_moe", "granitemoe", "olmoe", "phimoe", "qwen2_moe")


def needs(family: str) -> None:
    if not is_known(family):
        pytest.skip(f"this Transformers has no {family}")


def assert_equal(gaps: Gaps) -> None:
    assert gaps.logits <= TOLERANCE
    assert gaps.gradients <= TOLERANCE
    ours, theirs = gaps.texts
    assert ours == theirs
    assert len(ours) > 1


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=[pytest.mark.soak] if f in SELDOM else []) for f in FAMILIES],
)
def test_it_computes_what_transformers_and_peft_compute(family: str) -> None:
    needs(family)
    assert_equal(compare(family))


@pytest.mark.parametrize(
    "family", [*EXPERTS, *(pytest.param(f, marks=pytest.mark.soak) for f in SELDOM_EXPERTS)]
)
def test_experts_train_as_parameters_of_peft(family: str) -> None:
    needs(family)
    assert_equal(compare(family, target_experts=True))


@pytest.mark.parametrize("family", [f for f in REFUSED if f != "mpt"])
def test_what_carries_a_state_is_refused(family: str) -> None:
    needs(family)
    with pytest.raises(BaseModelError, match="carry a state from token to token") as caught:
        base_of(family)
    assert "Choose another base" in str(caught.value)
