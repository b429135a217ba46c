"""Answers in OpenAI's forms."""

from __future__ import annotations

import codecs
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from bakeoff.engine.serving.sampling import Drawn
from bakeoff.serve.http.flow import Answer
from bakeoff.serve.served import Prompt, Served
from bakeoff.serve.spelling import Spelt


def new_id(kind: str) -> str:
    """An id such as ``cmpl-1f3...``."""
    return f"{kind}-{secrets.token_hex(12)}"


def now() -> int:
    """Seconds of Unix."""
    return int(time.time())


def usage(prompts: Sequence[Prompt], num_written: int) -> dict[str, int]:
    """Counts of tokens; soft prompts and prefixes are none."""
    read = sum(len(prompt.ids) for prompt in prompts)
    return {
        "prompt_tokens": read,
        "completion_tokens": num_written,
        "total_tokens": read + num_written,
    }


class Places:
    """Where in its text each token of an answer begins; those that make up a character together
    begin where it does.

    Args:
        start: where the answer does. strips: whether white space at its beginning is left out.
    """

    def __init__(self, start: int, *, strips: bool) -> None:
        self._next = start
        self._strips = strips
        self._has_begun = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def of(self, spelt: Spelt) -> int:
        """The place of the next token."""
        place = self._next
        text = self._decoder.decode(spelt.adds if self._has_begun else spelt.begins)
        self._has_begun = self._has_begun or bool(spelt.adds)
        shown = text.lstrip() if self._strips else text
        self._strips = self._strips and not shown
        self._next += len(shown)
        return place


def text_logprobs(
    model: Served, drawn: Sequence[Drawn], wanted: int | None, places: Places
) -> dict[str, Any] | None:
    """``logprobs`` of ``/v1/completions``, for an answer's next tokens."""
    if wanted is None:
        return None
    tokens = [model.asking.spelt(one.id) for one in drawn]
    tops = [_alternatives(model, one) for one in drawn]
    return {
        "tokens": [spelt.text for spelt in tokens],
        "token_logprobs": [one.logprob for one in drawn],
        "top_logprobs": tops if wanted else None,
        "text_offset": [places.of(spelt) for spelt in tokens],
    }


def _alternatives(model: Served, drawn: Drawn) -> dict[str, float]:
    """The likeliest tokens with their nats; of two that read alike, the likelier one's."""
    found: dict[str, float] = {}
    for token, nats in drawn.top:
        found.setdefault(model.asking.spelt(token).text, nats)
    return found


def chat_logprobs(model: Served, drawn: Sequence[Drawn], wanted: int | None) -> Any:
    """``logprobs`` of ``/v1/chat/completions``."""
    if wanted is None:
        return None

    def entry(token: int, logprob: float | None) -> dict[str, Any]:
        spelt = model.asking.spelt(token)
        return {"token": spelt.text, "logprob": logprob, "bytes": list(spelt.content)}

    return {
        "content": [
            {**entry(one.id, one.logprob), "top_logprobs": [entry(i, v) for i, v in one.top]}
            for one in drawn
        ],
        "refusal": None,
    }


def finish_reason(answer: Answer) -> str:
    """``stop`` or ``length``."""
    assert answer.ended is not None
    return answer.ended.reason


def sse(content: Any) -> bytes:
    """One server-sent event."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"data: {text}\n\n".encode()
