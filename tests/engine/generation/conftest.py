"""The bases that text is generated with, and the prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.engine.generation.reference_texts import Prompts

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

NUM_PROMPTS = 5
PROMPT_LENGTHS = (3, 40)  # up to beyond GPT-Neo's window of 16
BASES = ["gpt_neo", "llama"]


@pytest.fixture(scope="module", params=BASES)
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture(scope="module")
def prompts(kit: Kit) -> Prompts:
    return kit.rows(NUM_PROMPTS, PROMPT_LENGTHS, np.random.default_rng(17))
