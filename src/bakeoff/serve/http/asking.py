"""From a request to rows of the batch: prompts, settings, and whether they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.serving.sampling import Sampling
from bakeoff.errors import DataError
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.bodies import ChatBody, CompletionBody, Message, Settings
from bakeoff.serve.http.faults import bad, no_model
from bakeoff.serve.picking import PickedRow
from bakeoff.serve.served import Prompt, Served

_SEED_STEP = 0x9E3779B97F4A7C15


def model_of(engine: Engine, name: str) -> Served:
    """The model of a name.

    Raises:
        ApiError: 404.
    """
    found = engine.catalogue.models.get(name)
    if found is None:
        raise no_model(name)
    return found


def completion_prompts(model: Served, body: CompletionBody, most: int) -> list[tuple[Prompt, bool]]:
    """(each prompt, whether it is taken as it is).

    Raises:
        ApiError: 400.
    """
    if (body.prompt is None) == (body.row is None):
        raise bad("give either a prompt or a row", "prompt")
    if body.row is not None:
        return [(row_prompt(model, body.row, "row"), False)]
    given: Any = body.prompt
    if isinstance(given, str) or isinstance(given[0], int):
        given = [given]
    if len(given) > most:
        raise bad(f"{len(given)} prompts are more than the {most} of one request", "prompt")
    found = []
    for one in given:
        if isinstance(one, list):
            found.append((_of_ids(model, one), True))
        else:
            found.append(text_prompt(model, one, raw=body.raw))
    return found


def text_prompt(model: Served, text: str, *, raw: bool) -> tuple[Prompt, bool]:
    """(a text's prompt, whether it is taken as it is): by the task, or as it is.

    Raises:
        ApiError: 400.
    """
    asking = model.asking
    if raw or not asking.writes:
        return _guarded(lambda: asking.of_text(text), "prompt"), True
    if len(asking.required) == 1:
        return row_prompt(model, {asking.required[0]: text}, "prompt"), False
    try:
        row: Any = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise bad(
            f"the study reads {', '.join(asking.columns)}: give them as `row`, as an object of "
            "JSON in the prompt, or set raw",
            "prompt",
        )
    return row_prompt(model, row, "prompt"), False


def row_prompt(model: Served, row: Mapping[str, object], param: str) -> Prompt:
    """A row's prompt by the study's task.

    Raises:
        ApiError: 400.
    """
    asking = model.asking
    if not asking.writes:
        raise bad("this model has no task with inputs, so it takes prompts as they are", param)
    return _guarded(lambda: asking.of_row(row), param)


def test_row_prompt(model: Served, picked: PickedRow) -> tuple[Prompt, bool]:
    """(a test row's prompt, whether it is taken as it is): what ``bakeoff predict`` asks with.

    A model of another study lays the row's columns out in its own way; one without a task reads
    the row as a reader does.

    Raises:
        ApiError: 400.
    """
    asking, values = model.asking, picked.values
    if values is None or not asking.writes:
        return text_prompt(model, picked.text, raw=False)
    return _guarded(lambda: asking.of_test_row(values), "test_row"), False


def chat_prompt(
    model: Served,
    messages: Sequence[Message],
    *,
    raw: bool,
    tools: Sequence[Mapping[str, Any]] = (),
) -> tuple[Prompt, bool]:
    """A conversation by the study's task, else by the base's chat template.

    A study that is none of conversations takes a user's only message as its input.

    Raises:
        ApiError: 400.
    """
    asking = model.asking
    turns = [_turn(message) for message in messages]
    if not raw and asking.task is not None and asking.writes:
        if asking.task.kind == "chat":
            column = asking.task.input_keys.get("messages")
            if column is not None:
                row: dict[str, Any] = {column: turns}
                if (place := asking.task.input_keys.get("tools")) is not None:
                    row[place] = list(tools) or None
                elif tools:
                    raise bad("the study was made without tools; leave them out", "tools")
                return row_prompt(model, row, "messages"), False
            if tools:
                raise bad("the study was made without tools; leave them out", "tools")
        elif tools:
            raise bad("the study is none of conversations, so it takes no tools", "tools")
        if [turn["role"] for turn in turns] == ["user"]:
            found, is_raw = text_prompt(model, str(turns[0]["content"] or ""), raw=False)
            return found, is_raw
        if asking.template is None:
            raise bad(
                "neither the study nor its base is of conversations; give one message, of the "
                "user, which is the study's input",
                "messages",
            )
    return _guarded(lambda: asking.of_messages(turns, tools), "messages"), True


def _turn(message: Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text for part in content)
    more = message.model_extra or {}
    return {**more, "role": message.role, "content": content or ""}


def _of_ids(model: Served, ids: list[int]) -> Prompt:
    vocabulary = model.asking.base.vocabulary
    if max(ids) >= vocabulary:
        raise bad(f"token {max(ids)} is none of the base's {vocabulary}", "prompt")
    return Prompt(ids=ids)


def _guarded(make: Any, param: str) -> Prompt:
    """What ``make`` gives; what it refuses, and what a template cannot take, is 400."""
    try:
        found: Prompt = make()
    except DataError as error:
        raise bad(str(error), param) from None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise bad("the prompt has a form that the study's task does not take", param) from None
    return found


def fitting_tokens(
    engine: Engine, model: Served, prompt: Prompt, asked: int | None, default: int
) -> int:
    """How many tokens may be written.

    Args:
        asked: by the request. default: the study's own.

    Raises:
        ApiError: 400 where prompt and answer do not fit; nothing is cut.
    """
    capacity = engine.capacity(model.lane) - model.extra_positions
    room = capacity - len(prompt.ids) + 1
    if room < 1:
        raise bad(
            f"the prompt has {len(prompt.ids)} tokens, and {capacity} fit; shorten it",
            "prompt",
            "context_length_exceeded",
        )
    limit = engine.options.max_tokens
    if asked is None:
        return min(default, room, limit)
    if asked > limit:
        raise bad(f"max_tokens is {asked}, and at most {limit} may be asked for", "max_tokens")
    if asked > room:
        raise bad(
            f"the prompt's {len(prompt.ids)} tokens and {asked} more do not fit into {capacity}; "
            f"ask for at most {room}",
            "max_tokens",
            "context_length_exceeded",
        )
    return asked


def defaults(model: Served, *, raw: bool) -> GenerationOptions:
    """The study's settings; plain sampling of the model where there is none."""
    found = model.asking.generation
    if found is None:
        return GenerationOptions(
            strategy="sample", temperature=1.0, no_repeat_ngram=0, max_new_tokens=64
        )
    return found


def sampling_of(
    model: Served,
    prompt: Prompt,
    settings: Settings,
    max_tokens: int,
    *,
    raw: bool,
    logprobs: int | None = None,
    copy: int = 0,
) -> Sampling:
    """How one row is continued.

    Args:
        prompt: the row's. raw: whether it was taken as it is. copy: which of several answers it is.

    Raises:
        ApiError: 400.
    """
    own = defaults(model, raw=raw)
    samples = own.strategy == "sample"
    temperature = settings.temperature
    if temperature is None:
        temperature = own.temperature if samples else 0.0
    top_p = settings.top_p
    if top_p is None:
        top_p = own.top_p if samples else 1.0
    seed = settings.seed
    if seed is not None:
        # Answers of one request differ, and each is the same in every request.
        seed = (seed + copy * _SEED_STEP) & ((1 << 63) - 1)
    ngram = settings.no_repeat_ngram
    stop = (settings.stop,) if isinstance(settings.stop, str) else tuple(settings.stop or ())
    asking = model.asking
    return Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=settings.top_k or 0,
        repetition_penalty=settings.repetition_penalty or 1.0,
        frequency_penalty=settings.frequency_penalty or 0.0,
        presence_penalty=settings.presence_penalty or 0.0,
        no_repeat_ngram=own.no_repeat_ngram if ngram is None else ngram,
        logit_bias=_biases(model, settings.logit_bias or {}),
        seed=seed,
        stop_ids=asking.stops_of(prompt, raw=raw),
        stop=stop,
        logprobs=logprobs,
    )


def _biases(model: Served, given: Mapping[str, float]) -> dict[int, float]:
    found = {}
    for spelt, bias in given.items():
        is_number = spelt.isascii() and spelt.isdigit() and len(spelt) < 10
        if not is_number or int(spelt) >= model.asking.base.vocabulary:
            raise bad("a key of logit_bias is not the number of a token", "logit_bias")
        found[int(spelt)] = float(bias)
    return found


def chat_limit(body: ChatBody) -> int | None:
    """The most tokens that a chat's request asks for."""
    if body.max_completion_tokens is not None:
        return body.max_completion_tokens
    return body.max_tokens
