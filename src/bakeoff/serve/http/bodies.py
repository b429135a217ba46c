"""The bodies of requests. A field that is unknown, or of a wrong type, is an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Token = Annotated[int, Field(ge=0, lt=1 << 31)]
Text = Annotated[str, Field(max_length=1 << 20)]
Name = Annotated[str, Field(min_length=1, max_length=300)]
Row = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(_Body):
    """What a stream tells besides."""

    include_usage: bool | None = False
    include_obfuscation: bool | None = False


class Settings(_Body):
    """How answers are written. What is not given is the study's own setting."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    no_repeat_ngram: Annotated[int, Field(ge=0, le=100)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        default=None, max_length=1024
    )
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Text | None = None
    # OpenAI's, which change nothing here.
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    service_tier: Text | None = None
    parallel_tool_calls: bool | None = None
    raw: bool = Field(default=False, description="Takes the prompt as it is, without a template.")


class CompletionBody(Settings):
    """``/v1/completions``."""

    model: Name
    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1)]
        | Annotated[list[Token], Field(min_length=1)]
        | Annotated[list[Annotated[list[Token], Field(min_length=1)]], Field(min_length=1)]
        | None
    ) = Field(default=None, description="Texts, or token ids, which are taken as they are.")
    row: Row | None = Field(default=None, description="The study's columns, in place of a prompt.")
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    n: Annotated[int, Field(ge=1, le=64)] | None = None
    best_of: Literal[1] | None = None
    echo: bool | None = Field(
        default=None, description="Gives the prompt back before the answer; no logprobs of it."
    )
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    suffix: None = None


class ContentPart(_Body):
    """A part of a message that is a list of parts."""

    type: Literal["text"]
    text: Text


class Message(BaseModel):
    """One turn. Other keys are handed to the template."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: Text | list[ContentPart] | None = None


class ChatBody(Settings):
    """``/v1/chat/completions``."""

    model: Name
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=64)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Row], Field(max_length=128)] | None = Field(
        default=None, description="For the template; calls come as it spells them, as text."
    )
    tool_choice: Literal["auto", "none"] | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None


class ClassifyBody(_Body):
    """``/v1/classify``."""

    model: Name
    input: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    rows: Annotated[list[Row], Field(min_length=1)] | None = Field(
        default=None, description="The study's columns, in place of an input."
    )


class ScoreBody(_Body):
    """``/v1/score``."""

    model: Name
    prompt: Text | None = None
    row: Row | None = None
    choices: Annotated[list[Text], Field(min_length=1, max_length=256)]
    raw: bool = False


class TestRow(_Body):
    """One of the rows that ``/rows`` lists."""

    study: Annotated[str, Field(max_length=300)] = ""
    index: Annotated[int, Field(ge=0, lt=1 << 31)]


class CompareBody(Settings):
    """``/compare``."""

    models: Annotated[list[Name], Field(min_length=1, max_length=64)]
    prompt: Text | None = None
    row: Row | None = None
    test_row: TestRow | None = Field(
        default=None, description="A study's test row, cut where the study cuts."
    )
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class VoteBody(_Body):
    """``/votes``: which of two answers was better, without knowing whose they were."""

    study: Annotated[str, Field(max_length=300)] = ""
    a: Name
    b: Name
    verdict: Literal["a", "b", "tie"]
    prompt: Annotated[str, Field(max_length=1 << 16)]
    answer_a: Annotated[str, Field(max_length=1 << 16)] = ""
    answer_b: Annotated[str, Field(max_length=1 << 16)] = ""


class ErrorDetail(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """An error in OpenAI's form."""

    error: ErrorDetail
