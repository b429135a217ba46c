"""The routes."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bakeoff.errors import StoreError
from bakeoff.serve.http.answers import (
    ChatAnswer,
    ClassifyAnswer,
    CompareAnswer,
    CompletionAnswer,
    ScoreAnswer,
)
from bakeoff.serve.http.bodies import (
    ChatBody,
    ClassifyBody,
    CompareBody,
    CompletionBody,
    ScoreBody,
    VoteBody,
)
from bakeoff.serve.http.choosing import classify, score
from bakeoff.serve.http.comparing import compare_flow, streamed_comparison, whole_comparison
from bakeoff.serve.http.completing import (
    chat_job,
    completion_job,
    streamed_chat,
    streamed_completion,
    whole_chat,
    whole_completion,
)
from bakeoff.serve.http.faults import ApiError, bad, no_model
from bakeoff.serve.http.guard import Guard
from bakeoff.serve.http.responses import FlowStream, Json
from bakeoff.serve.http.schema import ERRORS, answers, describe
from bakeoff.serve.playground import playground_page
from bakeoff.serve.served import Served
from bakeoff.serve.state import State
from bakeoff.version import __version__

_LOG = logging.getLogger("bakeoff.serve")
_STARTED: Final = int(time.time())


def make_app(state: State) -> Guard:
    """The application, guarded.

    Args:
        state: of the server; it begins to load when the application starts.
    """

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        state.load()
        yield
        await asyncio.to_thread(state.close)

    app = FastAPI(
        title="bakeoff",
        version=__version__,
        description="Every method of a study behind one address, in OpenAI's forms.",
        lifespan=living,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        default_response_class=Json,
    )
    _errors(app)
    _watch(app, state)
    _life(app, state)
    _openai(app, state)
    _own(app, state)
    describe(app, has_keys=bool(state.options.keys))
    return Guard(app, state.options, lambda *seen: _note(state, *seen))


def _errors(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return Json(error.body, error.status, headers=error.headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return Json(_explained(error).body, 400)

    async def other(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        codes = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "http_error")
        answer = ApiError(error.status_code, str(error.detail), code)
        return Json(answer.body, error.status_code, headers=error.headers)

    app.add_exception_handler(ApiError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)


def _explained(error: RequestValidationError) -> ApiError:
    """The first fault of a body, by the field's name; what was given is not repeated."""
    faults = error.errors()
    # Of a field that may have several forms, what is wrong in the one that it has: the others say
    # that it is none of theirs.
    same = [one for one in faults if one.get("loc", ())[:2] == faults[0].get("loc", ())[:2]]
    first = next((one for one in same if not str(one.get("type")).endswith("_type")), faults[0])
    if first.get("type") == "json_invalid":
        return bad(f"the body is no JSON (at character {first['loc'][-1]})")
    place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query")]
    if not place:
        return bad("the body is no JSON object; send one, with Content-Type: application/json")
    # After the field come the names of pydantic's own forms, as constrained-str.
    named = itertools.takewhile(lambda part: re.fullmatch(r"\w+", part) is not None, place)
    param = ".".join(named)[:100] or None
    text = str(first.get("msg", "invalid"))[:200]
    return bad(f"{param}: {text}" if param else text, param)


def _watch(app: FastAPI, state: State) -> None:
    @app.middleware("http")
    async def counted(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.monotonic()
        try:
            response = await call(request)
        except Exception:
            _LOG.exception("a request failed")
            message = "the server failed on this request; its log says why"
            response = Json(ApiError(500, message, "internal_error").body, 500)
        found = request.scope.get("route")
        route = getattr(found, "path", "other")
        _note(state, request.method, route, response.status_code, time.monotonic() - started)
        return response


def _note(state: State, method: str, route: str, status: int, seconds: float) -> None:
    """Counts an answer, and logs it without a word of what was asked."""
    state.metrics.requests.labels(route, str(status)).inc()
    state.metrics.seconds.labels(route).observe(seconds)
    _LOG.info("%s %s %d %.3f s", method, route, status, seconds)


def _life(app: FastAPI, state: State) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """Whether it answers requests; 503 while it loads."""
        if not state.is_ready:
            raise ApiError(503, "the models are being loaded; ask again soon", "loading")
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def playground() -> HTMLResponse:
        text, policy = playground_page()
        return HTMLResponse(text, headers={"content-security-policy": policy})


def _openai(app: FastAPI, state: State) -> None:
    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """All models."""
        found = state.engine.catalogue.models.values()
        return {"object": "list", "data": [_shown(model) for model in found]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One model."""
        found = state.engine.catalogue.models.get(name)
        if found is None:
            raise no_model(name)
        return _shown(found)

    @app.post(
        "/v1/completions", response_model=None, responses=answers(CompletionAnswer, streams=True)
    )
    async def completions(body: CompletionBody, request: Request) -> Response:
        """Continues texts."""
        job = await completion_job(state.engine, body)
        _log_prompt(state, body.row if body.prompt is None else body.prompt)
        if body.stream:
            await job.flow.begun(request)
            return FlowStream(job.flow, streamed_completion(job))
        return Json(await whole_completion(job, request))

    @app.post(
        "/v1/chat/completions", response_model=None, responses=answers(ChatAnswer, streams=True)
    )
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answers conversations."""
        job = await chat_job(state.engine, body)
        _log_prompt(state, [message.content for message in body.messages])
        if body.stream:
            await job.flow.begun(request)
            return FlowStream(job.flow, streamed_chat(job))
        return Json(await whole_chat(job, request))

    @app.post("/v1/classify", response_model=None, responses=answers(ClassifyAnswer))
    async def classified(body: ClassifyBody, request: Request) -> Response:
        """The labels of texts, each with its share."""
        _log_prompt(state, body.rows if body.input is None else body.input)
        return Json(await classify(state.engine, body, request))

    @app.post("/v1/score", response_model=None, responses=answers(ScoreAnswer))
    async def scored(body: ScoreBody, request: Request) -> Response:
        """How likely texts are after a prompt."""
        _log_prompt(state, [body.row if body.prompt is None else body.prompt, *body.choices])
        return Json(await score(state.engine, body, request))


def _own(app: FastAPI, state: State) -> None:
    @app.post("/compare", response_model=None, responses=answers(CompareAnswer, streams=True))
    async def compare(body: CompareBody, request: Request) -> Response:
        """One prompt through many models, in one batch."""
        compared = await compare_flow(state.engine, body, state.pickers)
        turns = [message.content for message in body.messages or ()]
        place = None if body.test_row is None else body.test_row.model_dump()
        _log_prompt(state, body.prompt or body.row or place or turns)
        if body.stream:
            return FlowStream(compared.flow, streamed_comparison(compared))
        return Json(await whole_comparison(compared, request))

    @app.get("/rows")
    async def rows(
        study: Annotated[str, Query(max_length=300)] = "",
        search: Annotated[str, Query(max_length=300)] = "",
    ) -> dict[str, Any]:
        """Test rows of a study that hold all the words; ``/compare`` takes one as ``test_row``."""
        _ = state.engine
        picker = state.pickers.get(study)
        if picker is None:
            return {"object": "list", "total": 0, "note": None, "data": []}
        return await picker.searched(search)

    @app.get("/votes")
    async def votes(study: Annotated[str, Query(max_length=300)] = "") -> dict[str, Any]:
        """Blind comparisons so far, with intervals."""
        _ = state.engine
        return {"object": "list", "data": await asyncio.to_thread(state.votes.summary, study)}

    @app.post("/votes")
    async def vote(body: VoteBody) -> dict[str, Any]:
        """Keeps a blind comparison in the run's folder."""
        known = state.engine.catalogue.models
        if body.a not in known or body.b not in known or body.a == body.b:
            raise bad("a vote is on two different models", "a")
        if {known[body.a].study, known[body.b].study} != {body.study}:
            raise bad("both models must be of the study", "study")
        try:
            await asyncio.to_thread(state.votes.add, body)
        except StoreError as error:
            raise ApiError(503, str(error), "store") from None
        return {"object": "vote", "verdict": body.verdict}


def _shown(model: Served) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": _STARTED,
        "owned_by": "bakeoff",
        "kind": model.kind,
        "title": model.title,
        "study": model.study,
        "candidate": model.candidate,
        "task": None if model.asking.task is None else model.asking.task.kind,
        "columns": list(model.asking.columns),
        "chooses": model.asking.chooses,
        "trained_parameters": model.parameters,
        "slower": model.has_own_base,
    }


def _log_prompt(state: State, prompt: object) -> None:
    if state.options.log_prompts:
        _LOG.info("prompt: %s", json.dumps(prompt, default=str))
