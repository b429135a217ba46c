"""``/v1/completions`` and ``/v1/chat/completions``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from bakeoff.engine.serving.rows import Ended, Failed, Wrote
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.asking import (
    chat_limit,
    chat_prompt,
    completion_prompts,
    defaults,
    fitting_tokens,
    model_of,
    sampling_of,
)
from bakeoff.serve.http.bodies import ChatBody, CompletionBody, Settings
from bakeoff.serve.http.faults import bad, of_row
from bakeoff.serve.http.flow import Answer, Flow
from bakeoff.serve.http.forms import (
    Places,
    chat_logprobs,
    finish_reason,
    new_id,
    now,
    sse,
    text_logprobs,
    usage,
)
from bakeoff.serve.served import Prompt, Served


@dataclass(kw_only=True)
class Job:
    """A request whose rows are ready to run.

    Attributes:
        id: of the answer. created: when. model: asked. flow: its rows.
        prompts: each once. logprobs: how many were asked for, None none.
        heads: of each row, what is shown before its text.
    """

    id: str
    created: int
    model: Served
    flow: Flow
    prompts: Sequence[Prompt]
    logprobs: int | None
    heads: Sequence[str]
    includes_usage: bool

    def envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """What every object of the answer has."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model.name,
            "system_fingerprint": None,
            "choices": choices,
        }

    def places(self) -> list[Places]:
        """Of each row, where its tokens are in its text."""
        rows = zip(self.heads, self.flow.rows, strict=True)
        return [Places(len(head), strips=row.strips) for head, row in rows]


async def completion_job(engine: Engine, body: CompletionBody) -> Job:
    """Checks a request and makes its rows.

    Raises:
        ApiError: it is refused.
    """
    model = model_of(engine, body.model)
    most = engine.options.max_rows
    prompts = await asyncio.to_thread(completion_prompts, model, body, most)
    copies = body.n or 1
    heads = _heads(model, body) if body.echo else [""] * len(prompts)
    # Rows run once they are made, so whatever can be refused is refused before.
    includes_usage = _wants_usage(body)
    flow = _rows(engine, model, prompts, body, copies, body.max_tokens, body.logprobs)
    return Job(
        id=new_id("cmpl"),
        created=now(),
        model=model,
        flow=flow,
        prompts=[prompt for prompt, _ in prompts],
        logprobs=body.logprobs,
        heads=[head for head in heads for _ in range(copies)],
        includes_usage=includes_usage,
    )


def _heads(model: Served, body: CompletionBody) -> list[str]:
    """The text of each prompt, which is shown before its answers."""
    if body.prompt is None:
        raise bad("echo gives a prompt back, and a row is none; leave it out", "echo")
    given: Any = body.prompt
    if isinstance(given, str) or isinstance(given[0], int):
        given = [given]
    return [one if isinstance(one, str) else model.asking.text_of(one) for one in given]


async def chat_job(engine: Engine, body: ChatBody) -> Job:
    """As ``completion_job``."""
    model = model_of(engine, body.model)
    tools = [] if body.tool_choice == "none" else body.tools or []
    prompt = await asyncio.to_thread(chat_prompt, model, body.messages, raw=body.raw, tools=tools)
    copies = body.n or 1
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    if body.top_logprobs is not None and logprobs is None:
        raise bad("top_logprobs has no effect without logprobs", "top_logprobs")
    includes_usage = _wants_usage(body)
    flow = _rows(engine, model, [prompt], body, copies, chat_limit(body), logprobs)
    return Job(
        id=new_id("chatcmpl"),
        created=now(),
        model=model,
        flow=flow,
        prompts=[prompt[0]],
        logprobs=logprobs,
        heads=[""] * copies,
        includes_usage=includes_usage,
    )


def _wants_usage(body: Settings) -> bool:
    if body.stream_options is not None and not body.stream:
        raise bad("stream_options has no effect without stream", "stream_options")
    return bool(body.stream_options and body.stream_options.include_usage)


def _rows(
    engine: Engine,
    model: Served,
    prompts: Sequence[tuple[Prompt, bool]],
    body: Settings,
    copies: int,
    max_tokens: int | None,
    logprobs: int | None,
) -> Flow:
    if len(prompts) * copies > engine.options.max_rows:
        raise bad(
            f"{len(prompts) * copies} answers are more than the {engine.options.max_rows} of one "
            "request",
            "n",
        )
    flow = Flow(engine)
    for prompt, raw in prompts:
        own = defaults(model, raw=raw).max_new_tokens
        room = fitting_tokens(engine, model, prompt, max_tokens, own)
        for copy in range(copies):
            sampling = sampling_of(model, prompt, body, room, raw=raw, logprobs=logprobs, copy=copy)
            flow.add(model, prompt.ids, sampling, strips=not raw)
    flow.start()
    return flow


async def whole_completion(job: Job, request: Request) -> dict[str, Any]:
    """All of it at once."""
    answers = await job.flow.gathered(request)
    choices = [
        {
            "index": index,
            "text": job.heads[index] + answer.text,
            "logprobs": text_logprobs(job.model, answer.drawn, job.logprobs, places),
            "finish_reason": finish_reason(answer),
        }
        for index, (answer, places) in enumerate(zip(answers, job.places(), strict=True))
    ]
    return {**job.envelope("text_completion", choices), "usage": _usage(job, answers)}


async def whole_chat(job: Job, request: Request) -> dict[str, Any]:
    """All of it at once."""
    answers = await job.flow.gathered(request)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": chat_logprobs(job.model, answer.drawn, job.logprobs),
            "finish_reason": finish_reason(answer),
        }
        for index, answer in enumerate(answers)
    ]
    return {**job.envelope("chat.completion", choices), "usage": _usage(job, answers)}


def _usage(job: Job, answers: Sequence[Answer]) -> dict[str, int]:
    written = sum(answer.ended.num_written for answer in answers if answer.ended)
    return usage(job.prompts, written)


async def streamed_completion(job: Job) -> AsyncIterator[bytes]:
    """As server-sent events, text as it is written."""
    kind = "text_completion"
    for index, head in enumerate(job.heads):
        if head:
            yield sse(job.envelope(kind, [_text_choice(index, head, None, None)]))
    written = 0
    places = job.places()
    async for index, event in job.flow.events():
        if isinstance(event, Wrote):
            logprobs = None
            if event.drawn:
                logprobs = text_logprobs(job.model, [event.drawn], job.logprobs, places[index])
            if event.text or logprobs:
                yield sse(job.envelope(kind, [_text_choice(index, event.text, logprobs, None)]))
        elif isinstance(event, Ended):
            written += event.num_written
            yield sse(job.envelope(kind, [_text_choice(index, "", None, event.reason)]))
        elif isinstance(event, Failed):
            yield sse(of_row(event).body)
            return
    if job.includes_usage:
        yield sse({**job.envelope(kind, []), "usage": usage(job.prompts, written)})
    yield sse("[DONE]")


def _text_choice(index: int, text: str, logprobs: Any, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


async def streamed_chat(job: Job) -> AsyncIterator[bytes]:
    """As server-sent events, text as it is written."""
    kind = "chat.completion.chunk"

    def chunk(index: int, delta: dict[str, Any], logprobs: Any, reason: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return sse(job.envelope(kind, [choice]))

    for index in range(len(job.heads)):
        yield chunk(index, {"role": "assistant", "content": ""}, None, None)
    written = 0
    async for index, event in job.flow.events():
        if isinstance(event, Wrote):
            drawn = [event.drawn] if event.drawn else []
            logprobs = chat_logprobs(job.model, drawn, job.logprobs) if drawn else None
            if event.text or logprobs:
                yield chunk(index, {"content": event.text}, logprobs, None)
        elif isinstance(event, Ended):
            written += event.num_written
            yield chunk(index, {}, None, event.reason)
        elif isinstance(event, Failed):
            yield sse(of_row(event).body)
            return
    if job.includes_usage:
        yield sse({**job.envelope(kind, []), "usage": usage(job.prompts, written)})
    yield sse("[DONE]")
