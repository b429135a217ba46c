"""The ``openai`` client against a running server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.serve.clients import get, post
from tests.studies import CITIES

if TYPE_CHECKING:
    from bakeoff.serve.running import Server
    from tests.serve.conftest import LeaversOf

TEXTS = [f"The fair of {city} drew {10 * i} people, they said." for i, city in enumerate(CITIES)]
MIXED = ("lora", "soft_prompt", "bottleneck", "ia3", "prefix", "last_layers", "full")
Expected = Callable[[str, Sequence[str]], list[str]]


@pytest.fixture(scope="module")
def client(served: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0)


def test_answers_are_those_of_predict_whoever_else_asks(
    client: openai.OpenAI, expected: Expected
) -> None:
    pairs = list(itertools.islice(itertools.product(TEXTS, MIXED), 40))

    def ask(pair: tuple[str, str]) -> str:
        text, model = pair
        return client.completions.create(model=model, prompt=text).choices[0].text

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(ask, pairs))
    for (text, model), answer in zip(pairs, found, strict=True):
        assert answer == expected(model, [text])[0], (model, text)
    assert len(set(found)) > 10


def test_a_stream_is_the_answer_in_pieces(client: openai.OpenAI, expected: Expected) -> None:
    chunks = list(
        client.completions.create(
            model="lora",
            prompt=TEXTS[:2],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = ["", ""]
    reasons: dict[int, str] = {}
    for chunk in chunks[:-1]:
        [choice] = chunk.choices
        texts[choice.index] += choice.text
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert texts == expected("lora", TEXTS[:2])
    assert sorted(reasons) == [0, 1]
    usage = chunks[-1].usage
    assert usage is not None and usage.total_tokens > usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1 and len(chunks) > 5


def test_a_conversation_of_one_message_is_the_study_s_input(
    client: openai.OpenAI, expected: Expected
) -> None:
    asked: Any = [{"role": "user", "content": TEXTS[0]}]
    whole = client.chat.completions.create(model="ia3", messages=asked)
    assert whole.choices[0].message.content == expected("ia3", TEXTS[:1])[0]
    stream = client.chat.completions.create(model="ia3", messages=asked, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("text", {"prompt": TEXTS[0]}),
    ("texts", {"prompt": TEXTS[:3]}),
    ("ids", {"prompt": [5, 6, 7]}),
    ("lists of ids", {"prompt": [[5, 6], [7]]}),
    ("raw", {"prompt": "Once", "extra_body": {"raw": True}}),
    ("row", {"prompt": None, "extra_body": {"row": {"text": TEXTS[0]}}}),
    ("n", {"prompt": TEXTS[0], "n": 3, "temperature": 1.0, "seed": 1}),
    ("max_tokens", {"prompt": TEXTS[0], "max_tokens": 2}),
    ("temperature and top_p", {"prompt": TEXTS[0], "temperature": 0.7, "top_p": 0.5, "seed": 3}),
    ("top_k", {"prompt": TEXTS[0], "temperature": 1, "extra_body": {"top_k": 3}, "seed": 3}),
    ("repetition_penalty", {"prompt": TEXTS[0], "extra_body": {"repetition_penalty": 1.3}}),
    ("penalties", {"prompt": TEXTS[0], "frequency_penalty": 1.0, "presence_penalty": -1.0}),
    ("no_repeat_ngram", {"prompt": TEXTS[0], "extra_body": {"no_repeat_ngram": 1}}),
    ("logit_bias", {"prompt": TEXTS[0], "logit_bias": {"40": 100}, "max_tokens": 3}),
    ("stop", {"prompt": TEXTS[0], "stop": "a"}),
    ("stops", {"prompt": TEXTS[0], "stop": ["e", "i"]}),
    ("logprobs", {"prompt": TEXTS[0], "logprobs": 3, "max_tokens": 4}),
    ("echo", {"prompt": "Once", "echo": True}),
    ("user", {"prompt": TEXTS[0], "user": "me"}),
    ("zero_shot", {"prompt": TEXTS[0], "model": "zero_shot"}),
]


@pytest.mark.parametrize(("name", "given"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_forms_of_requests(client: openai.OpenAI, name: str, given: dict[str, Any]) -> None:
    request = {"model": "lora", **given}
    whole = client.completions.create(**request)
    choices = sorted(whole.choices, key=lambda choice: choice.index)
    assert whole.usage is not None and whole.usage.completion_tokens >= 0
    assert all(choice.finish_reason in ("stop", "length") for choice in choices)
    texts = [""] * len(choices)
    for chunk in client.completions.create(**request, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in choices]
    if name == "logprobs":
        logprobs = choices[0].logprobs
        assert logprobs is not None and logprobs.top_logprobs and logprobs.token_logprobs
        for value, top in zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
            assert value is not None and value <= 0 and len(top) <= 3
    if name == "n":
        assert len(set(texts)) > 1
    if name in ("stop", "stops"):
        assert not any(word in texts[0] for word in given["stop"])
    if name == "echo":
        assert texts[0].startswith("Once")
    if name == "logit_bias":
        assert choices[0].finish_reason == "length"


def test_log_probabilities_of_a_conversation(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="lora",
        messages=[{"role": "user", "content": TEXTS[0]}],
        logprobs=True,
        top_logprobs=2,
        max_completion_tokens=3,
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    for token in logprobs.content:
        best = max(top.logprob for top in token.top_logprobs)
        assert token.logprob == pytest.approx(best)  # greedy
        assert token.bytes is not None


def test_models_are_listed(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}
    assert set(found) == {"zero_shot", *MIXED}
    assert client.models.retrieve("full").model_dump()["slower"] is True


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI, served: Server) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="../../etc/passwd", prompt="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match=r"tokens, and \d+ fit") as long:
        client.completions.create(model="lora", prompt="many words " * 400)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="ask for at most"):
        client.completions.create(model="lora", prompt="a", max_tokens=1000)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="lora", prompt="a", temperature=-1)
    with pytest.raises(openai.BadRequestError, match="best_off"):
        client.completions.create(model="lora", prompt="a", extra_body={"best_off": 2})
    with pytest.raises(openai.BadRequestError, match="chat template"):
        client.chat.completions.create(
            model="lora", messages=[{"role": "user", "content": "a"}], extra_body={"raw": True}
        )
    refused = post(served, "/v1/completions", content=b"{")
    assert refused.status_code == 400 and refused.json()["error"]["message"]


def test_a_client_that_goes_gives_its_seat_back(
    client: openai.OpenAI, served: Server, leavers_of: LeaversOf
) -> None:
    leavers = leavers_of(served)
    stream = client.completions.create(
        model="lora",
        prompt=TEXTS[0],
        stream=True,
        max_tokens=150,
        extra_body={"no_repeat_ngram": 0, "raw": True},
        logit_bias={"0": -100},
    )
    next(iter(stream))
    stream.close()
    assert leavers.num_cancelled == 1


def test_one_prompt_through_many_models(served: Server, expected: Expected) -> None:
    body = {"models": list(MIXED), "prompt": TEXTS[1]}
    found = post(served, "/compare", body).json()["data"]
    assert [one["model"] for one in found] == list(MIXED)
    for one in found:
        assert one["text"] == expected(one["model"], [TEXTS[1]])[0]
        assert one["seconds"] >= one["first_token_seconds"] > 0


def test_the_schema_describes_every_route(served: Server) -> None:
    schema = get(served, "/openapi.json").json()
    assert {
        *("/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/classify", "/v1/score"),
        *("/compare", "/health", "/ready", "/metrics", "/rows", "/votes"),
    } <= set(schema["paths"])
