"""``/compare``: one prompt through many models, in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from bakeoff.engine.serving.rows import Ended, Failed, Wrote
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.asking import (
    chat_prompt,
    defaults,
    fitting_tokens,
    model_of,
    row_prompt,
    sampling_of,
    text_prompt,
)
from bakeoff.serve.http.bodies import CompareBody
from bakeoff.serve.http.faults import bad, of_row
from bakeoff.serve.http.flow import Answer, Flow, keep
from bakeoff.serve.http.forms import new_id, now, sse
from bakeoff.serve.served import Prompt, Served

Compared = tuple[Flow, list[Served], list[Prompt]]


async def compare_flow(engine: Engine, body: CompareBody) -> Compared:
    """The rows of a request, one for each model.

    Raises:
        ApiError: it is refused.
    """
    given = [body.prompt is not None, body.row is not None, body.messages is not None]
    if sum(given) != 1:
        raise bad("give one of prompt, row and messages", "prompt")
    if len(set(body.models)) < len(body.models):
        raise bad("a model is named twice", "models")
    if len(body.models) > engine.options.max_rows:
        raise bad(f"more than the {engine.options.max_rows} rows of one request", "models")
    models = [model_of(engine, name) for name in body.models]

    def prompt_of(model: Served) -> tuple[Prompt, bool]:
        if body.messages is not None:
            return chat_prompt(model, body.messages, raw=body.raw)
        if body.row is not None:
            return row_prompt(model, body.row, "row"), False
        return text_prompt(model, body.prompt or "", raw=body.raw)

    flow, prompts = Flow(engine), []
    for model in models:
        prompt, raw = await asyncio.to_thread(prompt_of, model)
        default = defaults(model, raw=raw).max_new_tokens
        room = fitting_tokens(engine, model, prompt, body.max_tokens, default)
        flow.add(model, prompt.ids, sampling_of(model, body, room, raw=raw), strips=not raw)
        prompts.append(prompt)
    flow.start()
    return flow, models, prompts


async def whole_comparison(compared: Compared, request: Request) -> dict[str, Any]:
    """All answers at once; a model that fails has its error."""
    flow, models, prompts = compared
    answers = await flow.gathered(request, tolerant=True)
    data = [
        {"model": model.name, **_result(answer, prompt)}
        for model, answer, prompt in zip(models, answers, prompts, strict=True)
    ]
    return {"id": new_id("compare"), "object": "list", "created": now(), "data": data}


async def streamed_comparison(compared: Compared) -> AsyncIterator[bytes]:
    """As server-sent events: ``{model, text}`` as it is written, then ``{model, done}``."""
    flow, models, prompts = compared
    answers = [Answer() for _ in models]
    async for index, event in flow.events():
        keep(answers[index], event)
        name = models[index].name
        if isinstance(event, Wrote) and event.text:
            yield sse({"model": name, "text": event.text})
        elif isinstance(event, Ended | Failed):
            yield sse({"model": name, "done": _result(answers[index], prompts[index])})
    yield sse("[DONE]")


def _result(answer: Answer, prompt: Prompt) -> dict[str, Any]:
    if answer.failed is not None:
        return {"text": answer.text, **of_row(answer.failed).body}
    assert answer.ended is not None
    ended = answer.ended
    return {
        "text": answer.text,
        "finish_reason": ended.reason,
        "prompt_tokens": len(prompt.ids),
        "completion_tokens": ended.num_written,
        "first_token_seconds": ended.first_seconds,
        "seconds": ended.seconds,
    }
