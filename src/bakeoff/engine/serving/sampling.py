"""The next token of one row: its own rules, its own generator, whatever its neighbours do.

Axis letters: ``V`` vocabulary.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_COLDEST = 1e-5
"""Below it all draws are the likeliest token, and quotients would leave float32."""
NEAR_TIE = 1e-4
"""Where the two best logits lie closer, rounding decides which of them is the best."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a row is continued.

    Attributes:
        max_tokens: the most that it writes.
        temperature: 0 takes the likeliest token. top_p: draws from the fewest likeliest tokens that
            have this share; 1 from all. top_k: from so many; 0 from all.
        repetition_penalty: divides the logits of tokens of the prompt and the answer (Keskar et al.
            2019). frequency_penalty, presence_penalty: taken off the logits of written tokens, for
            each time and once.
        no_repeat_ngram: no sequence of so many written tokens twice; 0 allows all.
        logit_bias: added, by token.
        seed: of the row's generator; None draws one.
        stop_ids: tokens that end the answer, and are no part of it.
        stop: texts that do.
        logprobs: how many of the likeliest tokens are given with each; None gives nothing.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    no_repeat_ngram: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token that was chosen.

    Attributes:
        id: it. logprob: its nats under the model, None where none were asked for.
        top: the likeliest tokens with theirs. is_near_tie: see ``NEAR_TIE``.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    is_near_tie: bool = False


class Sampler:
    """Chooses one row's tokens.

    Args:
        sampling: how. prompt: the row's tokens, for the repetition penalty.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._prompt = prompt if sampling.repetition_penalty != 1.0 else ()
        self._written: list[int] = []
        self._counts: Counter[int] = Counter()
        self._after: dict[tuple[int, ...], set[int]] = {}
        self._generator: torch.Generator | None = None
        if sampling.temperature > 0:
            seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
            self._generator = torch.Generator().manual_seed(seed)

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is taken and no more is asked: many rows at once may be."""
        s = self._sampling
        return (
            s.temperature == 0
            and s.logprobs is None
            and not s.logit_bias
            and s.repetition_penalty == 1
            and not s.frequency_penalty
            and not s.presence_penalty
            and not self._banned()
        )

    def take(self, token: int) -> None:
        """Notes a token that was chosen, here or by the caller."""
        size = self._sampling.no_repeat_ngram
        self._written.append(token)
        self._counts[token] += 1
        if size and len(self._written) >= size:
            head = tuple(self._written[len(self._written) - size : -1])
            self._after.setdefault(head, set()).add(token)

    def _banned(self) -> set[int]:
        size = self._sampling.no_repeat_ngram
        if not size or len(self._written) < size:
            return set()
        return self._after.get(tuple(self._written[len(self._written) - size + 1 :]), set())

    def choose(self, logits_V: Tensor) -> Drawn:
        """The next token; the caller hands it to ``take``.

        Args:
            logits_V: [V] float32, finite; left as they are.
        """
        s = self._sampling
        changed_V = self._penalised(logits_V)
        if self._generator is None:
            best = changed_V.topk(min(2, len(changed_V)))
            token = int(changed_V.argmax())
            gap = float(best.values[0] - best.values[-1])
            return self._with_logprobs(logits_V, token, len(best.values) > 1 and gap < NEAR_TIE)
        shares_V = (changed_V.cpu() / max(s.temperature, _COLDEST)).softmax(dim=-1)
        if s.top_k or s.top_p < 1:
            shares, ids = shares_V.sort(descending=True, stable=True)
            if s.top_k:
                shares[s.top_k :] = 0
            if s.top_p < 1:
                shares = shares / shares.sum()
                # The token that reaches the share is one of them, and so is the likeliest.
                is_out = shares.cumsum(dim=0) - shares >= s.top_p
                is_out[0] = False
                shares[is_out] = 0
            place = torch.multinomial(shares, 1, generator=self._generator)
            token = int(ids[place])
        else:
            token = int(torch.multinomial(shares_V, 1, generator=self._generator))
        return self._with_logprobs(logits_V, token, False)

    def _penalised(self, logits_V: Tensor) -> Tensor:
        s = self._sampling
        changed_V = logits_V.clone()
        device = logits_V.device
        if s.repetition_penalty != 1.0:
            seen = torch.tensor(sorted({*self._prompt, *self._counts}), device=device)
            if len(seen):
                values = changed_V[seen]
                changed_V[seen] = torch.where(
                    values > 0, values / s.repetition_penalty, values * s.repetition_penalty
                )
        if (s.frequency_penalty or s.presence_penalty) and self._counts:
            ids = torch.tensor(list(self._counts), device=device)
            times = torch.tensor(list(self._counts.values()), device=device, dtype=torch.float32)
            changed_V[ids] -= s.frequency_penalty * times + s.presence_penalty
        for token, bias in s.logit_bias.items():
            changed_V[token] += bias
        banned = self._banned()
        if banned:
            changed_V[torch.tensor(sorted(banned), device=device)] = float("-inf")
        return changed_V

    def _with_logprobs(self, logits_V: Tensor, token: int, is_near_tie: bool) -> Drawn:
        wanted = self._sampling.logprobs
        if wanted is None:
            return Drawn(token, is_near_tie=is_near_tie)
        logprobs_V = logits_V.log_softmax(dim=-1)
        best = logprobs_V.topk(min(wanted, len(logprobs_V)))
        top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return Drawn(token, float(logprobs_V[token]), top, is_near_tie)
