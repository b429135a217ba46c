"""``/compare``: one prompt through many models, in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from bakeoff.engine.serving.rows import Ended, Failed, Scored, Wrote
from bakeoff.engine.serving.sampling import Sampling
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.asking import (
    chat_prompt,
    defaults,
    fitting_tokens,
    model_of,
    row_prompt,
    sampling_of,
    test_row_prompt,
    text_prompt,
)
from bakeoff.serve.http.bodies import CompareBody, TestRow
from bakeoff.serve.http.choosing import choice_ids, chosen
from bakeoff.serve.http.faults import bad, of_row
from bakeoff.serve.http.flow import Answer, Flow, keep
from bakeoff.serve.http.forms import new_id, now, sse
from bakeoff.serve.picking import PickedRow, RowPicker
from bakeoff.serve.served import Prompt, Served


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models that are asked at once.

    Attributes:
        flow: a row for each model. models, prompts: in its order.
    """

    flow: Flow
    models: list[Served] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)


async def compare_flow(
    engine: Engine, body: CompareBody, pickers: Mapping[str, RowPicker]
) -> Comparison:
    """The rows of a request, one for each model.

    A model whose task chooses answers with the likeliest choice, as ``bakeoff predict`` does; the
    settings of writing mean nothing to it.

    Raises:
        ApiError: it is refused.
    """
    asked = (body.prompt, body.row, body.test_row, body.messages)
    if sum(one is not None for one in asked) != 1:
        raise bad("give one of prompt, row, test_row and messages", "prompt")
    if body.raw and body.test_row is not None:
        raise bad("raw has no effect on a test row, which is asked as the study asks", "raw")
    if len(set(body.models)) < len(body.models):
        raise bad("a model is named twice", "models")
    if len(body.models) > engine.options.max_rows:
        raise bad(f"more than the {engine.options.max_rows} rows of one request", "models")
    models = [model_of(engine, name) for name in body.models]
    picked = await _picked(body.test_row, pickers)

    def ready(model: Served) -> tuple[Prompt, bool, list[list[int]]]:
        prompt, raw = prompt_of(model)
        chooses = model.asking.chooses and not raw
        return prompt, raw, choice_ids(engine, model, prompt, prompt.choices) if chooses else []

    def prompt_of(model: Served) -> tuple[Prompt, bool]:
        if picked is not None:
            return test_row_prompt(model, picked)
        if body.messages is not None:
            return chat_prompt(model, body.messages, raw=body.raw)
        if body.row is not None:
            return row_prompt(model, body.row, "row"), False
        return text_prompt(model, body.prompt or "", raw=body.raw)

    compared = Comparison(flow=Flow(engine))
    for model in models:
        prompt, raw, choices = await asyncio.to_thread(ready, model)
        if choices:
            compared.flow.add(model, prompt.ids, Sampling(max_tokens=1), choices=choices)
        else:
            default = defaults(model, raw=raw).max_new_tokens
            room = fitting_tokens(engine, model, prompt, body.max_tokens, default)
            sampling = sampling_of(model, prompt, body, room, raw=raw)
            compared.flow.add(model, prompt.ids, sampling, strips=not raw)
        compared.models.append(model)
        compared.prompts.append(prompt)
    compared.flow.start()
    return compared


async def _picked(place: TestRow | None, pickers: Mapping[str, RowPicker]) -> PickedRow | None:
    if place is None:
        return None
    picker = pickers.get(place.study)
    found = None if picker is None else await picker.picked(place.index)
    if found is None:
        raise bad("there is no such test row; /rows lists them", "test_row")
    return found


async def whole_comparison(compared: Comparison, request: Request) -> dict[str, Any]:
    """All answers at once; a model that fails has its error."""
    answers = await compared.flow.gathered(request, tolerant=True)
    data = [
        {"model": model.name, **_result(model, prompt, answer)}
        for model, prompt, answer in zip(compared.models, compared.prompts, answers, strict=True)
    ]
    return {"id": new_id("compare"), "object": "list", "created": now(), "data": data}


async def streamed_comparison(compared: Comparison) -> AsyncIterator[bytes]:
    """As server-sent events: ``{model, text}`` as it is written, then ``{model, done}``."""
    answers = [Answer() for _ in compared.models]
    async for index, event in compared.flow.events():
        model, prompt, answer = compared.models[index], compared.prompts[index], answers[index]
        keep(answer, event)
        if isinstance(event, Scored):
            yield sse({"model": model.name, "text": chosen(model, prompt, event)[0]})
        elif isinstance(event, Wrote) and event.text:
            yield sse({"model": model.name, "text": event.text})
        elif isinstance(event, Ended | Failed):
            yield sse({"model": model.name, "done": _result(model, prompt, answer)})
    yield sse("[DONE]")


def _result(model: Served, prompt: Prompt, answer: Answer) -> dict[str, Any]:
    if answer.failed is not None:
        return {"text": answer.text, **of_row(answer.failed).body}
    assert answer.ended is not None
    ended = answer.ended
    found: dict[str, Any] = {"text": answer.text}
    if answer.scored is not None:
        label, scores = chosen(model, prompt, answer.scored)
        found = {"text": label, "scores": scores}
    return {
        **found,
        "finish_reason": ended.reason,
        "prompt_tokens": len(prompt.ids),
        "completion_tokens": ended.num_written,
        "first_token_seconds": ended.first_seconds,
        "seconds": ended.seconds,
    }
