"""Forms of requests and answers that clients of OpenAI rely on."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.serve.clients import get, post

if TYPE_CHECKING:
    from pathlib import Path

    from bakeoff.serve.running import Server
    from tests.serve.conftest import Serve

TEXT = "The fair of Arden drew 100 people."


def completed(server: Server, **more: Any) -> httpx.Response:
    return post(server, "/v1/completions", {"model": "lora", "prompt": TEXT, **more})


def test_a_server_that_fails_says_so_in_the_form_of_errors(
    served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> Any:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(served.state.votes, "summary", broken)
    failed = get(served, "/votes")
    assert failed.status_code == 500
    error = failed.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "secret" not in failed.text
    metrics = get(served, "/metrics").text
    assert 'bakeoff_requests_total{route="/votes",status="500"} 1.0' in metrics


def test_a_body_that_is_no_json_names_the_place(served: Server) -> None:
    refused = post(
        served,
        "/v1/completions",
        content=b'{"model": "lora", x}',
        headers={"content-type": "application/json"},
    )
    error = refused.json()["error"]
    assert refused.status_code == 400 and error["param"] is None
    assert "no JSON (at character 18)" in error["message"]


def test_the_schema_tells_keys_answers_and_streams(served: Server) -> None:
    schema = get(served, "/openapi.json").json()
    assert schema["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert schema["paths"]["/health"]["get"]["security"] == []
    for path in ("/v1/completions", "/v1/chat/completions", "/compare"):
        content = schema["paths"][path]["post"]["responses"]["200"]["content"]
        name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert schema["components"]["schemas"][name]["type"] == "object"
        assert "text/event-stream" in content
    for operations in schema["paths"].values():
        assert all("422" not in one["responses"] for one in operations.values())


def test_answers_are_as_the_schema_says(served: Server) -> None:
    from bakeoff.serve.http import answers

    chat = {"model": "lora", "messages": [{"role": "user", "content": TEXT}], "logprobs": True}
    score = {"model": "lora", "prompt": TEXT, "choices": [" a", " fair"]}
    compare = {"models": ["lora", "zero_shot"], "prompt": TEXT}
    for found, model in (
        (completed(served, logprobs=1), answers.CompletionAnswer),
        (post(served, "/v1/chat/completions", chat), answers.ChatAnswer),
        (post(served, "/v1/score", score), answers.ScoreAnswer),
        (post(served, "/compare", compare), answers.CompareAnswer),
    ):
        content = found.json()
        written = model.model_validate(content).model_dump(exclude_unset=True)
        for key, value in written.items():
            assert content[key] == value


@pytest.mark.parametrize(
    ("prompt", "raw"), [(TEXT, True), (TEXT, False), ([5, 6, 7], True)], ids=["raw", "text", "ids"]
)
def test_offsets_go_through_the_whole_text(served: Server, prompt: Any, raw: bool) -> None:
    given = {"prompt": prompt, "logprobs": 1, "echo": True, "max_tokens": 6, "raw": raw}
    given |= {"logit_bias": {"0": -100}, "no_repeat_ngram": 0}
    whole = completed(served, **given).json()["choices"][0]
    tokens, offsets = whole["logprobs"]["tokens"], whole["logprobs"]["text_offset"]
    for token, offset in zip(tokens, offsets, strict=True):
        shown = token if raw or offset > offsets[0] else token.lstrip()
        assert whole["text"][offset : offset + len(shown)] == shown
    assert offsets[0] > 0 and len(offsets) > 1
    text, streamed = "", []
    for line in completed(served, stream=True, **given).text.split("\n\n"):
        data = line.removeprefix("data: ")
        if data in ("", "[DONE]"):
            continue
        [choice] = json.loads(data)["choices"]
        text += choice["text"]
        streamed += (choice["logprobs"] or {"text_offset": []})["text_offset"]
    assert text == whole["text"] and streamed == offsets


def test_a_refusal_says_what_is_wrong_with_the_form_that_was_given(served: Server) -> None:
    for given, words in (
        ({"prompt": []}, "prompt: List should have at least 1 item"),
        ({"stop": ["."] * 17}, "stop: List should have at most 16 items"),
        ({"prompt": {"a": 1}}, "prompt: Input should be a valid string"),
        ({"model": "lor" + "a" * 200}, "there is no model 'lor" + "a" * 77 + "...'; /v1/models"),
    ):
        message = completed(served, **given).json()["error"]["message"]
        assert message.startswith(words), message


def test_a_row_is_not_echoed(served: Server) -> None:
    refused = completed(served, prompt=None, row={"text": TEXT}, echo=True)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "echo"


def test_what_openai_allows_and_nothing_here_needs_is_taken(served: Server) -> None:
    plain = completed(served).json()["choices"]
    more = {"echo": None, "store": False, "metadata": {"a": "b"}, "service_tier": "auto"}
    found = completed(served, **more)
    assert found.status_code == 200 and found.json()["choices"] == plain
    chat = {"model": "lora", "messages": [{"role": "user", "content": TEXT}], "store": True}
    assert post(served, "/v1/chat/completions", {**chat, "parallel_tool_calls": True}).is_success
    for stream in (False, True):
        nothing = completed(served, max_tokens=0, stream=stream)
        assert nothing.status_code == 200 and '"length"' in nothing.text
        assert re.search(r'"text": ?"[^"]', nothing.text) is None


def test_prompts_are_logged_whole_if_asked_for(
    labelled: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(labelled, log_prompts=True)
    with caplog.at_level(logging.INFO, "bakeoff.serve"):
        post(server, "/v1/classify", {"model": "lora", "input": "first words"})
        post(server, "/v1/classify", {"model": "lora", "rows": [{"text": "second words"}]})
        body = {"model": "lora", "row": {"text": "third words"}, "choices": ["fourth words"]}
        post(server, "/v1/score", body)
        post(server, "/compare", {"models": ["lora"], "row": {"text": "fifth words"}})
        turns = [{"role": "user", "content": "sixth words"}]
        post(server, "/compare", {"models": ["lora"], "messages": turns})
        completed(server, prompt=None, row={"text": "seventh words"})
    logged = [one.getMessage() for one in caplog.records if one.getMessage().startswith("prompt")]
    for word in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh"):
        assert any(f"{word} words" in line for line in logged), (word, logged)


def test_what_is_refused_at_the_door_is_counted_and_logged(
    finished: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(finished, keys=("a-key-of-this-test",), max_body=2000)
    key = {"authorization": "Bearer a-key-of-this-test"}
    with caplog.at_level(logging.INFO, "bakeoff.serve"):
        assert get(server, "/v1/models").status_code == 401
        large = post(server, "/compare", content=b"x" * 3000, headers=key)
        assert large.status_code == 413
    text = get(server, "/metrics", headers=key).text
    for status in (401, 413):
        assert f'bakeoff_requests_total{{route="refused",status="{status}"}} 1.0' in text
    assert any("GET refused 401" in one.getMessage() for one in caplog.records)


def test_votes_that_agree_inside_the_bounds_prove_little() -> None:
    from bakeoff.serve.votes import _judged

    for votes, mean in (([1.0, 0.0], 0.5), ([0.0], 0.0), ([1.0, 0.0, 0.0], 1 / 3)):
        two = _judged(("a", "b"), {"p": votes, "q": votes})
        assert two["mean"] == pytest.approx(mean) and two["low"] < mean < two["high"]
        assert two["low"] < -0.4 and two["verdict"] == "undecided"
    many = _judged(("a", "b"), {str(i): [1.0, 0.0] for i in range(40)})
    assert many["verdict"] == "better" and many["high"] - many["low"] < 0.5
