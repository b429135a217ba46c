"""The ``openai`` client and a study of conversations; what it raises, and how it lets go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.serve.conftest import made
from tests.serve.test_rows import run_of

if TYPE_CHECKING:
    from pathlib import Path

    from bakeoff.serve.running import Server
    from tests.serve.conftest import LeaversOf, Serve

ASKED: Any = [{"role": "user", "content": "How many came in May?"}]
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Where is Arden?"},
    {"role": "assistant", "content": "North."},
    *ASKED,
]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": {}}}
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("a question", {}),
    ("a conversation", {"messages": TALK}),
    ("parts", {"messages": [{"role": "user", "content": [{"type": "text", "text": "How many?"}]}]}),
    ("n", {"n": 3, "temperature": 1.0, "seed": 1}),
    ("max_tokens", {"max_tokens": 2}),
    ("max_completion_tokens", {"max_completion_tokens": 2}),
    ("temperature and top_p", {"temperature": 0.7, "top_p": 0.5, "seed": 3}),
    ("top_k", {"temperature": 1, "seed": 3, "extra_body": {"top_k": 3}}),
    ("penalties", {"frequency_penalty": 1.0, "presence_penalty": -1.0}),
    ("logit_bias", {"logit_bias": {"40": 100}, "max_tokens": 3}),
    ("stops", {"stop": ["e", "i"]}),
    ("logprobs", {"logprobs": True, "top_logprobs": 2, "max_tokens": 4}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "none"}),
    ("response_format", {"response_format": {"type": "text"}}),
    ("user", {"user": "me", "store": False, "metadata": {"a": "b"}, "parallel_tool_calls": True}),
    ("zero_shot", {"model": "zero_shot"}),
]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of("chat", tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def server(talk: Path) -> Iterator[Server]:
    with made([talk], {"max_positions": 320, "max_queue": 4}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize(("name", "given"), FORMS, ids=[name for name, _ in FORMS])
def test_forms_of_conversations(client: openai.OpenAI, name: str, given: dict[str, Any]) -> None:
    request = {"model": "lora", "messages": ASKED, **given}
    whole = client.chat.completions.create(**request)
    texts = [choice.message.content for choice in whole.choices]
    assert all(choice.finish_reason in ("stop", "length") for choice in whole.choices)
    assert whole.usage is not None and whole.usage.prompt_tokens > 0
    pieces = [""] * len(texts)
    usage = None
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in client.chat.completions.create(**request, **options):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces[choice.index] += choice.delta.content or ""
    assert pieces == texts and usage == whole.usage
    if name == "n":
        assert len(set(texts)) > 1
    if name in ("max_tokens", "max_completion_tokens"):
        assert whole.usage.completion_tokens <= 2
    if name == "logprobs":
        logprobs = whole.choices[0].logprobs
        assert logprobs is not None and logprobs.content
        assert all(len(token.top_logprobs) == 2 for token in logprobs.content)


def test_what_the_client_gives_besides(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="lora", messages=ASKED)
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.role == "assistant"
    assert [model.id for model in client.models.list()] == ["zero_shot", "lora"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model_not_found"),
        ({"max_tokens": 319}, openai.BadRequestError, "context_length_exceeded"),
        (
            {"messages": [{"role": "user", "content": "many words " * 400}]},
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        ({"temperature": 3}, openai.BadRequestError, "invalid_request"),
        ({"top_logprobs": 2}, openai.BadRequestError, "invalid_request"),
        ({"n": 60, "temperature": 1.0}, openai.BadRequestError, "too_many_rows"),
        ({"messages": []}, openai.BadRequestError, "invalid_request"),
        ({"extra_body": {"tempratur": 1}}, openai.BadRequestError, "invalid_request"),
    ],
    ids=["model", "room", "long", "range", "alone", "rows", "empty", "unknown"],
)
def test_what_is_refused_is_raised_as_the_client_names_it(
    client: openai.OpenAI,
    given: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    request: dict[str, Any] = {"model": "lora", "messages": ASKED, "stream": stream, **given}
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**request)
    assert caught.value.code == code
    assert isinstance(caught.value.body, dict) and caught.value.body["message"]


def test_keys_are_asked_for_as_the_client_gives_them(talk: Path, serve: Serve) -> None:
    server = serve(talk, max_positions=320, keys=("the-key-of-this",))
    for key in ("the-key-of-this", "another-key-here"):
        client = openai.OpenAI(base_url=f"{server.address}/v1", api_key=key, max_retries=0)
        if key == "the-key-of-this":
            assert client.chat.completions.create(model="lora", messages=ASKED).choices
        else:
            with pytest.raises(openai.AuthenticationError) as caught:
                client.models.list()
            assert caught.value.code == "invalid_key"


def test_the_client_asks_again_where_it_is_told_to(
    talk: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(talk, max_positions=320, max_seats=1, queue_seconds=0.0)
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="lora", prompt=["a", "b", "c"], stream=stream)
        assert caught.value.response.headers["retry-after"] == "1"
    with monkeypatch.context() as patch, pytest.raises(openai.InternalServerError) as loading:
        patch.setattr(server.state, "_engine", None)  # as while it loads
        client.chat.completions.create(model="lora", messages=ASKED)
    assert loading.value.status_code == 503 and loading.value.code == "loading"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_task_that_is_cancelled_lets_its_row_go(
    server: Server, leavers_of: LeaversOf, stream: bool
) -> None:
    leavers = leavers_of(server)

    async def asked() -> None:
        client = openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
        request: dict[str, Any] = {"model": "lora", "messages": ASKED, "max_tokens": 60}
        request |= {"stream": stream, "logit_bias": {"0": -100}}

        async def taken() -> None:
            found = await client.chat.completions.create(**request)
            if stream:
                async for _ in found:
                    pass

        task = asyncio.create_task(taken())
        while not leavers.batcher.num_running and not task.done():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()

    asyncio.run(asked())
    assert leavers.num_cancelled == 1
