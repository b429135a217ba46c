"""``/v1/classify`` and ``/v1/score``: how likely answers are, not what is written."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from bakeoff.engine.serving.rows import Scored
from bakeoff.engine.serving.sampling import Sampling
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.asking import model_of, row_prompt, text_prompt
from bakeoff.serve.http.bodies import ClassifyBody, ScoreBody
from bakeoff.serve.http.faults import bad
from bakeoff.serve.http.flow import Flow
from bakeoff.serve.http.forms import new_id, now, usage
from bakeoff.serve.served import Prompt, Served


async def classify(engine: Engine, body: ClassifyBody, request: Request) -> dict[str, Any]:
    """The task's labels, or the row's own choices, by likelihood."""
    model = model_of(engine, body.model)
    if not model.asking.chooses:
        raise bad("this model's task has no labels and no choices; ask /v1/score", "model")
    if (body.input is None) == (body.rows is None):
        raise bad("give either an input or rows", "input")
    given = [body.input] if isinstance(body.input, str) else (body.input or body.rows or [])
    if len(given) > engine.options.max_rows:
        raise bad(f"more than the {engine.options.max_rows} inputs of one request", "input")

    def prompts() -> list[tuple[Prompt, list[list[int]]]]:
        found = []
        for one in given:
            if isinstance(one, str):
                prompt, _ = text_prompt(model, one, raw=False)
            else:
                prompt = row_prompt(model, one, "rows")
            found.append((prompt, choice_ids(engine, model, prompt, prompt.choices)))
        return found

    ready = await asyncio.to_thread(prompts)
    found = await _scored(engine, model, ready, request)
    data = []
    for index, ((prompt, _), scored) in enumerate(zip(ready, found, strict=True)):
        label, scores = chosen(model, prompt, scored)
        data.append(
            {
                "index": index,
                "label": label,
                "num_classes": len(scores),
                "probs": [one["score"] for one in scores],
                "scores": scores,
            }
        )
    return {
        "id": new_id("classify"),
        "object": "list",
        "created": now(),
        "model": model.name,
        "data": data,
        "usage": usage([prompt for prompt, _ in ready], 0),
    }


async def score(engine: Engine, body: ScoreBody, request: Request) -> dict[str, Any]:
    """Any texts as they follow a prompt."""
    model = model_of(engine, body.model)
    if (body.prompt is None) == (body.row is None):
        raise bad("give either a prompt or a row", "prompt")

    def ready() -> tuple[Prompt, list[list[int]]]:
        if body.row is not None:
            prompt = row_prompt(model, body.row, "row")
        else:
            prompt, _ = text_prompt(model, body.prompt or "", raw=body.raw)
        return prompt, choice_ids(engine, model, prompt, tuple(body.choices), body.prompt or "")

    prompt, choices = await asyncio.to_thread(ready)
    [scored] = await _scored(engine, model, [(prompt, choices)], request)
    data = [
        {
            "index": index,
            "text": text,
            "nll": nats,
            "num_tokens": len(ids),
            "tokens": [model.asking.spelt(token).text for token in ids],
            "token_nlls": list(by_token),
        }
        for index, (text, nats, ids, by_token) in enumerate(
            zip(body.choices, scored.nats, choices, scored.by_token, strict=True)
        )
    ]
    return {
        "id": new_id("score"),
        "object": "list",
        "created": now(),
        "model": model.name,
        "data": data,
        "usage": usage([prompt], 0),
    }


def chosen(model: Served, prompt: Prompt, scored: Scored) -> tuple[str, list[dict[str, Any]]]:
    """(the likeliest of a prompt's choices, each choice with its share and its nats)"""
    task = model.asking.task
    assert task is not None
    shown = [task.answer_shown(choice) for choice in prompt.choices]
    shares = _softmax([-nats for nats in scored.nats])
    best = min(range(len(shown)), key=scored.nats.__getitem__)
    scores = [
        {"label": label, "score": share, "nll": nats}
        for label, share, nats in zip(shown, shares, scored.nats, strict=True)
    ]
    return shown[best], scores


def choice_ids(
    engine: Engine, model: Served, prompt: Prompt, choices: tuple[str, ...], raw: str = ""
) -> list[list[int]]:
    """Tokens of the choices, which all fit behind the prompt."""
    before = raw if prompt.example is None else prompt.example.prompt
    try:
        found = model.asking.choices_of(before, choices)
    except ValueError as error:
        message = str(error) if error.args else ""
        raise bad(message or "the choices cannot be read", "choices") from None
    capacity = engine.capacity(model.lane) - model.extra_positions
    longest = max(map(len, found))
    if len(prompt.ids) + longest - 1 > capacity:
        raise bad(
            f"the prompt's {len(prompt.ids)} tokens and the {longest} of a choice do not fit into "
            f"{capacity}; shorten them",
            "prompt",
            "context_length_exceeded",
        )
    return found


async def _scored(
    engine: Engine,
    model: Served,
    ready: Sequence[tuple[Prompt, list[list[int]]]],
    request: Request,
) -> list[Scored]:
    flow = Flow(engine)
    for prompt, choices in ready:
        flow.add(model, prompt.ids, Sampling(max_tokens=1), choices=choices)
    flow.start()
    answers = await flow.gathered(request)
    found = [answer.scored for answer in answers]
    return [one for one in found if one is not None]


def _softmax(values: Sequence[float]) -> list[float]:
    most = max(values)
    shares = [math.exp(value - most) for value in values]
    return [share / sum(shares) for share in shares]
