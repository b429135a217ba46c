"""What answers look like, for ``/openapi.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class Usage(BaseModel):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Answer(BaseModel):
    id: str
    created: int


class TextChoice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(_Answer):
    """Of ``/v1/completions``."""

    object: Literal["text_completion"]
    model: str
    choices: list[TextChoice]
    usage: Usage


class ChatTurn(BaseModel):
    """What the assistant says."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(BaseModel):
    """One turn."""

    index: int
    message: ChatTurn
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class ChatAnswer(_Answer):
    """Of ``/v1/chat/completions``."""

    object: Literal["chat.completion"]
    model: str
    choices: list[ChatChoice]
    usage: Usage


class LabelScore(BaseModel):
    """A label with its share and its nats."""

    label: str
    score: float
    nll: float


class Classified(BaseModel):
    """One text's labels."""

    index: int
    label: str
    num_classes: int
    probs: list[float]
    scores: list[LabelScore]


class ClassifyAnswer(_Answer):
    """Of ``/v1/classify``."""

    object: Literal["list"]
    model: str
    data: list[Classified]
    usage: Usage


class ChoiceScore(BaseModel):
    """One choice's nats, by token too."""

    index: int
    text: str
    nll: float
    num_tokens: int
    tokens: list[str]
    token_nlls: list[float]


class ScoreAnswer(_Answer):
    """Of ``/v1/score``."""

    object: Literal["list"]
    model: str
    data: list[ChoiceScore]
    usage: Usage


class Compared(BaseModel):
    """One model's answer; ``error`` where it has none."""

    model: str
    text: str
    finish_reason: Literal["stop", "length"] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_seconds: float | None = None
    seconds: float | None = None
    scores: list[LabelScore] | None = None
    error: dict[str, Any] | None = None


class CompareAnswer(_Answer):
    """Of ``/compare``."""

    object: Literal["list"]
    data: list[Compared]
