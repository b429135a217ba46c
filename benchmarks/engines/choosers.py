"""Ways to ask how likely each choice is after its prompt: with a shared prompt, and row by row.

Axis letters: ``B`` rows, ``T`` tokens, ``n`` tokens of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls
from bakeoff.methods.contract import Method, Tensors
from engines.measuring import Engine

Ids = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Examples that all have as many tokens and choices.

    Attributes:
        prompts: of each. choices: of each a list.
    """

    prompts: list[Ids]
    choices: list[list[Ids]]

    @classmethod
    def drawn(
        cls, number: int, prompt: int, choices: int, tokens: int, vocabulary: int, seed: int
    ) -> Questions:
        """Random ids, none of them 0 or the last."""
        draw = np.random.default_rng(seed)

        def ids(count: int) -> Ids:
            return draw.integers(1, vocabulary - 1, count).astype(np.int32)

        return cls(
            prompts=[ids(prompt) for _ in range(number)],
            choices=[[ids(tokens) for _ in range(choices)] for _ in range(number)],
        )

    def first(self, number: int) -> Questions:
        """Some of them."""
        return Questions(prompts=self.prompts[:number], choices=self.choices[:number])

    def full_rows(self) -> tuple[list[Ids], list[Ids]]:
        """(prompts, choices): one of each for every choice."""
        pairs = [
            (prompt, ids)
            for prompt, of_example in zip(self.prompts, self.choices, strict=True)
            for ids in of_example
        ]
        return [prompt for prompt, _ in pairs], [ids for _, ids in pairs]


class Chooser(Engine):
    """Asks all questions in batches.

    Args:
        device: where. questions: what is asked. rows: of a batch.
    """

    def __init__(self, device: torch.device, questions: Questions, rows: int) -> None:
        super().__init__(device)
        self.questions, self.rows = questions, rows

    def step(self, index: int) -> Floats:
        """Nats of every choice, of all examples; step 0 asks the first one alone."""
        return self.ask(self.questions if index else self.questions.first(1))

    def ask(self, questions: Questions) -> Floats:
        """Nats of every choice, one example's after the other's."""
        raise NotImplementedError


class _OfCohort(Chooser):
    """By the engine: the untuned base, or one candidate.

    Each step enters the cohort: two of them are not in one base at a time.
    """

    def __init__(
        self,
        base: Base,
        base_bytes: int,
        tuned: tuple[Method, Tensors] | None,
        questions: Questions,
        rows: int,
    ) -> None:
        super().__init__(base.device, questions, rows)
        self.standing_bytes = base_bytes
        self.cohort = Cohort(base, [] if tuned is None else [tuned[0]], 1)
        if tuned is not None:
            self.cohort.seat(0, *tuned)


class SharedPrompts(_OfCohort):
    """By ``choose``, which computes a prompt once."""

    def ask(self, questions: Questions) -> Floats:
        """See ``Chooser``."""
        with self.cohort:
            [found] = choose(
                self.cohort, [0], questions.prompts, questions.choices, batch_rows=self.rows
            )
        return np.concatenate(found)


class FullRows(_OfCohort):
    """By ``example_nlls``, a row of prompt and choice for every choice."""

    def ask(self, questions: Questions) -> Floats:
        """See ``Chooser``."""
        prompts, choices = questions.full_rows()
        plan = BatchPlan.of_pairs(
            Ragged.from_rows(prompts),
            Ragged.from_rows(choices),
            rows_per_step=1,
            max_length=len(prompts[0]) + len(choices[0]),
            pad_id=0,
        )
        with self.cohort:
            return example_nlls(self.cohort, 0, TokenSource(self.device), plan, rows=self.rows)


class PlainRows(Chooser):
    """By Transformers, or PEFT around it: full rows without padding, logits of the choice alone.

    Args:
        model: see ``writers.cast_copy``. The others are as for ``Chooser``.
    """

    def __init__(self, model: Any, device: torch.device, questions: Questions, rows: int) -> None:
        super().__init__(device, questions, rows)
        self.model = model

    @torch.no_grad()
    def ask(self, questions: Questions) -> Floats:
        """See ``Chooser``."""
        prompts, choices = questions.full_rows()
        found: list[Tensor] = []
        for start in range(0, len(prompts), self.rows):
            part = slice(start, start + self.rows)
            found.append(self._nlls(prompts[part], choices[part]))
        return torch.cat(found).double().cpu().numpy()

    def _nlls(self, prompts: Sequence[Ids], choices: Sequence[Ids]) -> Tensor:
        ids_BT = torch.from_numpy(np.hstack([np.stack(prompts), np.stack(choices)])).long()
        ids_BT = ids_BT.to(self.device)
        count = len(choices[0])
        logits_BnV = self.model(input_ids=ids_BT, use_cache=False, logits_to_keep=count + 1).logits[
            :, -count - 1 : -1
        ]
        shares_BnV = logits_BnV.float().log_softmax(dim=-1)
        found_BnV: Tensor = shares_BnV.gather(2, ids_BT[:, -count:, None])
        return -found_BnV.sum(dim=(1, 2))
