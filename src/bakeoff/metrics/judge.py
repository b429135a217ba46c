"""How often a language model prefers an answer to a fixed other one.

Who is asked, and by what, are the study's ``judge`` section. The metric itself asks no one: it is
given what the judge preferred, which a stage after the test finds out (``execution/judging``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError
from bakeoff.metrics.base import MeanMetric
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs

NAME: Final = "judge"
REFERENCE: Final = "reference"
"""As ``against``: each row's own right answer."""
DEFAULT_RUBRIC: Final = (
    "Prefer the answer that does what the task asks: it is correct, says nothing that is made up, "
    "leaves nothing of importance out, and is clear. Length by itself is no merit. If neither is "
    "better, say so."
)
_OURS: Final = frozenset({"messages", "model", "n", "stream"})
_SECRET: Final = ("key", "token", "secret", "password", "signature")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class TokenPrices:
    """What a model's tokens cost."""

    input_tokens: float | None = None
    """Money for a million tokens that it reads."""
    output_tokens: float | None = None
    """Money for a million tokens that it writes."""

    def __post_init__(self) -> None:
        for key in ("input_tokens", "output_tokens"):
            price = getattr(self, key)
            if price is not None and not (math.isfinite(price) and price >= 0.0):
                raise ConfigError(
                    f"{key}: {price} is not a finite price of zero or more; give what a million "
                    "tokens cost, such as 0.15, or null"
                )
        missing = [key for key in ("input_tokens", "output_tokens") if getattr(self, key) is None]
        if len(missing) == 1:
            raise ConfigError(
                f"{missing[0]}: is missing, and a call is priced by both input_tokens and "
                "output_tokens; give both, 0 where one is free, or neither"
            )

    @property
    def is_known(self) -> bool:
        """Whether both have a price."""
        return self.input_tokens is not None and self.output_tokens is not None

    def of_tokens(self, read: float, written: float) -> float | None:
        """The price of so many tokens; None where one of the two has none."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return (read * self.input_tokens + written * self.output_tokens) / 1e6


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """A language model that compares answers; nothing is sent anywhere but to ``endpoint``."""

    endpoint: str
    """Of a server that speaks OpenAI's chat completions, such as http://127.0.0.1:8000/v1."""
    model: str
    """As that server calls it."""
    rubric: str | None = None
    """What makes an answer the better one, in words; null takes a general one."""
    against: str | None = None
    """What every other answer is compared with: a baseline that writes, or `reference`, each row's
    own right answer; null takes zero_shot, else the first baseline that writes."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key, which is kept nowhere."""
    rows: int | None = None
    """Test rows that are judged, at most, drawn by `seed`; null judges all."""
    max_calls: int = 5000
    """Requests in all, those of earlier calls and failed ones included. Where they end, fewer rows
    are judged, the same ones for all."""
    max_cost: float | None = None
    """Money in all, as `prices` says; null sets no bound."""
    prices: TokenPrices = field(default_factory=TokenPrices)
    """Of the judge's tokens; without them the study's `prices` hold."""
    show_reference: bool = True
    """Whether the judge is shown each row's right answer."""
    votes: str | None = None
    """A JSON-lines file of people's votes; null takes votes.jsonl in the run's folder, if there."""
    parallel: int = 4
    """Requests under way at once."""
    timeout_seconds: float = 60.0
    """Longest wait for one answer."""
    retries: int = 4
    """Further tries of a request that fails for a while."""
    retry_seconds: float = 1.0
    """Before the first of these; each further wait is twice as long, and at most 60 s."""
    max_tokens: int = 512
    """Tokens that the judge may write for one verdict."""
    request: dict[str, Any] = field(default_factory=dict)
    """Further keys of each request's body, such as {reasoning_effort: low}; null leaves one of
    `temperature` (0) and `max_tokens` out."""
    seed: int = 0
    """Of the rows that are taken first, and of which answer is shown first."""

    def __post_init__(self) -> None:
        _check_endpoint(self.endpoint)
        if not self.model.strip():
            raise ConfigError("model: is empty; give the model's name on the server")
        if self.rubric is not None and not self.rubric.strip():
            raise ConfigError("rubric: is empty; say what makes an answer better, or give null")
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise ConfigError(
                "api_key_env: is not the name of an environment variable; give its name, such as "
                "OPENAI_API_KEY, and never the key itself"
            )
        for key, least in (("max_calls", 1), ("parallel", 1), ("retries", 0), ("max_tokens", 1)):
            if getattr(self, key) < least:
                raise ConfigError(
                    f"{key}: {getattr(self, key)} is below {least}; give {least} or more"
                )
        if self.rows is not None and self.rows < 2:
            raise ConfigError(f"rows: {self.rows} is below 2; give 2 or more, or null for all")
        if not (math.isfinite(self.timeout_seconds) and self.timeout_seconds > 0.0):
            raise ConfigError(f"timeout_seconds: {self.timeout_seconds} is not above 0; give 60")
        if not (math.isfinite(self.retry_seconds) and self.retry_seconds >= 0.0):
            raise ConfigError(f"retry_seconds: {self.retry_seconds} is below 0; give 1")
        if self.max_cost is not None and not (math.isfinite(self.max_cost) and self.max_cost > 0):
            raise ConfigError(f"max_cost: {self.max_cost} is not above 0; give money, or null")
        for key in self.request:
            if key in _OURS or any(word in key.lower() for word in ("api_key", "secret")):
                raise ConfigError(
                    f"request.{key}: is not a key that a study may set; remove it (a server's key "
                    "comes from the variable that api_key_env names)"
                )

    @property
    def criteria(self) -> str:
        """The rubric in words."""
        return self.rubric or DEFAULT_RUBRIC


class Judge(MeanMetric):
    """The share of rows on which an answer is preferred; a tie counts a half.

    Each row adds the mean over both orders of the two answers, and one; a row that was not judged
    adds nothing.

    Args:
        options: who judges; None where the study does not say it.
    """

    name = NAME
    title = "Judge"
    asks = Ask.TEXT
    default_margin = 0.05
    needs = ("preferred_N",)
    is_judged = True

    def __init__(self, options: JudgeOptions | None = None) -> None:
        self.options = options

    @property
    def signature(self) -> str:
        if self.options is None:
            return "pairwise, both orders"
        rubric = hashlib.sha256(self.options.criteria.encode()).hexdigest()[:12]
        against = self.options.against or "zero_shot"
        return f"{self.options.model}, pairwise with {against}, both orders, rubric {rubric}"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.preferred_N is not None
        return self.statistics_of(outputs.preferred_N)

    @staticmethod
    def statistics_of(preferred_N: Floats) -> NDArray[Any]:
        """[N, 2] what rows add.

        Args:
            preferred_N: [N] by how much the judge preferred the answer, NaN where it was not asked.
        """
        found_N = np.asarray(preferred_N, dtype=np.float64)
        is_judged_N = np.isfinite(found_N)
        return np.stack([np.where(is_judged_N, found_N, 0.0), is_judged_N], axis=1)


def _check_endpoint(endpoint: str) -> None:
    """Raises ConfigError where an address is none, or holds what must be kept nowhere."""
    rule = "give an address such as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise ConfigError(f"endpoint: is no address; {rule}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"endpoint: {endpoint!r} is no address of http or https; {rule}")
    if any(ord(letter) <= 32 for letter in endpoint):
        raise ConfigError(f"endpoint: {endpoint!r} holds a blank; {rule}")
    named = (key.lower() for key, _ in parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc or any(word in key for key in named for word in _SECRET):
        raise ConfigError(
            "endpoint: holds a name with a password, or a key, which a run's folder would keep; "
            "put it into an environment variable and name that in api_key_env"
        )


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    from bakeoff.config import from_mapping

    return Judge(from_mapping(JudgeOptions, options, path=NAME) if options else None)
