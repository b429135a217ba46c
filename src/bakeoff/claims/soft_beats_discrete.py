"""A trained prompt beats the best written one (Lester et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bakeoff.claims.contract import (
    BaseFacts,
    Claim,
    Contrast,
    Curve,
    Floats,
    Noise,
    Part,
    Planted,
    Size,
    Values,
)
from bakeoff.claims.curves import curve_over
from bakeoff.claims.entrants import soft_prompt

_MARGIN = 0.02
_PROMPTS = 8
_FEW = (16, 64, 256)


def _design(facts: BaseFacts, size: Size) -> tuple[Part, ...]:
    soft = {"soft": soft_prompt(facts, 20)}
    main = Part(name="prompts", entrants=soft, prompts=True, shots=True)
    few = (n for n in _FEW if n < size.train_rows)
    return (main, *(Part(name=f"rows_{n}", entrants=soft, train_rows=n) for n in few))


def _discrete(values: Values) -> Floats:
    """[] or [S] the best of the written prompts and of those with examples.

    How many examples, validation chose; they are drawn again with every seed, and the mean over
    the draws says whether such a prompt is the best, since the best draw would be one of luck.
    """
    asked = [values[f"prompts:prompt_{i}"] for i in range(1, _PROMPTS + 1)]
    return min([*asked, values["prompts:few_shot"]], key=lambda one: float(np.mean(one)))


def _statistic(values: Values) -> Mapping[str, Floats]:
    return {"gain": _discrete(values) - values["prompts:soft"]}


def _says(values: Values) -> str:
    """Whether worked examples took part: validation may choose none."""
    bare = values.get("prompts:zero_shot")
    if bare is None or not np.all(values["prompts:few_shot"] == bare):
        return ""
    return "Validation chose no worked example, so that prompts with examples are the bare one."


def _curve(values: Values) -> Curve | None:
    names = {f"rows_{n}:soft": f"soft, {n} rows" for n in _FEW}
    names |= {"prompts:soft": "soft, all rows", "prompts:few_shot": "worked examples"}
    names |= {f"prompts:prompt_{i}": f"written {i}" for i in range(1, _PROMPTS + 1)}
    return curve_over(values, names, "prompt", "test loss, nats per token")


def _world(soft: float) -> dict[str, float]:
    written = {f"prompts:prompt_{i}": 3.0 + i / 20 for i in range(1, _PROMPTS + 1)}
    return {**written, "prompts:few_shot": 2.9, "prompts:soft": soft}


CLAIM = Claim(
    name="soft_beats_discrete",
    title="A soft prompt beats the best of eight written prompts and of prompts with examples",
    source="An analysis of fine-tuning methods on GPT-Neo (2024), section 2.1.1; Lester et al. "
    "2021, arXiv:2104.08691, section 1",
    hypothesis="With all training rows of the design, a soft prompt's test loss is at least 0.02 "
    "nats per token below the best of eight written prompts and of prompts with worked examples.",
    supported_if="the best written one exceeds it by more than 0.02 nats per token",
    contradicted_if="it exceeds it by less, or not at all",
    does_not_show="What a better writer would have found: eight prompts are eight. The best of "
    "them is taken by the test rows, which favours it. With fewer rows see the figure. Worked "
    "examples take room: on tiny's family they push the row beyond the positions that the base was "
    "trained on, so that there they cannot help.",
    unit="nats per token",
    contrasts=(
        Contrast(
            name="gain",
            rule="above",
            threshold=_MARGIN,
            words="loss of the best written prompt minus that of the soft prompt",
        ),
    ),
    statistic=_statistic,
    design=_design,
    curve=_curve,
    says=_says,
    figure_only=tuple(f"rows_{n}:soft" for n in _FEW),
    planted=Planted(
        supported=_world(2.4), contradicted=_world(3.1), noise=Noise(seed=0.005, row=0.5)
    ),
)
