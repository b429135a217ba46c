"""Who may ask, how much, and what is told to whom."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.serve.options import ServeOptions, read_keys
from bakeoff.serve.running import Server
from tests.serve.clients import get, post
from tests.waiting import LONGEST, until

if TYPE_CHECKING:
    from tests.serve.conftest import Held, Serve

KEY = "a-key-of-this-test"
TEXT = "The fair of Arden drew 100 people."
Expected = Callable[[str, Sequence[str]], list[str]]


def asked(server: Server, model: str = "lora", **more: Any) -> httpx.Response:
    return post(server, "/v1/completions", {"model": model, "prompt": TEXT, **more})


def test_a_key_is_asked_for_everywhere_but_where_one_looks_first(
    finished: Path, serve: Serve
) -> None:
    server = serve(finished, keys=(KEY, "another-key-of-it"))
    for path in ("/", "/health", "/ready"):
        assert get(server, path).status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/rows", "/votes"):
        refused = get(server, path)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "invalid_key"
        for given in ("Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer", "Bearer \xff"):
            wrong = {b"authorization": given.encode("latin-1")}
            assert get(server, path, headers=wrong).status_code == 401
        for key in (KEY, "another-key-of-it"):
            headers = {"authorization": f"Bearer {key}"}
            assert get(server, path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "--no-auth if that is meant"),
        ({"keys": (KEY,), "no_auth": True}, "no effect"),
        ({"runs": ()}, "nothing to serve"),
        ({"base": "tiny"}, "no effect without --adapter"),
        ({"port": 70000}, "is no port"),
        ({"max_seats": 0}, "below 1"),
    ],
)
def test_what_must_not_start_does_not(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ServeOptions(**{"runs": (Path("any"),), **settings}).check()


def test_keys_are_read_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the team\n\n{KEY}\n  spaces-around-it  \n", encoding="utf-8")
    assert read_keys(file) == (KEY, "spaces-around-it")
    for content, words in (("", "holds no key"), ("short\n", "fewer than 8")):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=words):
            read_keys(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none")


def test_other_sites_and_other_names_of_this_host_are_refused(served: Server) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        assert get(served, "/v1/models", headers=headers).status_code == 403
    found = get(served, "/v1/models", headers={"origin": served.address})
    assert found.status_code == 200 and "access-control-allow-origin" not in found.headers


def test_bodies_have_a_size_and_names_no_paths(finished: Path, serve: Serve) -> None:
    server = serve(finished, max_body=2000, max_rows=3, max_tokens=20)
    assert asked(server, stop="x" * 3000).status_code == 413

    def parts() -> Any:
        for _ in range(100):
            yield b" " * 100

    assert post(server, "/v1/completions", content=parts()).status_code == 413
    assert "more than the 3" in asked(server, prompt=["a"] * 4).json()["error"]["message"]
    assert "at most 20" in asked(server, max_tokens=21).json()["error"]["message"]
    for name in ("../lora", "/etc/passwd", "lora/../lora", "candidates/lora", "LORA", "\x00"):
        refused = asked(server, model=name)
        assert refused.status_code == 404
        assert str(finished) not in refused.text
    assert get(server, "/v1/models/..%2f..%2fetc").status_code == 404


def test_nothing_is_answered_while_it_loads(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bakeoff.serve import state

    may_load = threading.Event()
    real = state.__dict__["Engine"]

    def slow(options: ServeOptions) -> Any:
        may_load.wait(LONGEST)
        return real(options)

    monkeypatch.setattr(state, "Engine", slow)
    options = ServeOptions(runs=(finished,), port=0, device="cpu", max_positions=128)
    server = Server(options)
    thread = threading.Thread(target=server._server.run, daemon=True)
    thread.start()
    until(lambda: server._server.started)
    assert get(server, "/health").status_code == 200
    for path in ("/ready", "/v1/models"):
        waits = get(server, path)
        assert waits.status_code == 503 and waits.headers["retry-after"]
    assert asked(server).json()["error"]["code"] == "loading"
    may_load.set()
    server.state.wait()
    assert get(server, "/ready").status_code == 200
    server._server.should_exit = True
    thread.join()


def test_a_server_that_cannot_load_ends_by_itself(finished: Path, tmp_path: Path) -> None:
    options = ServeOptions(runs=(finished,), adapters={"x": tmp_path}, port=0, device="cpu")
    with pytest.raises(BakeoffError, match=r"--adapter x: .* has no file adapter_config\.json"):
        Server(options).run()


def test_a_server_that_is_asked_to_stop_ends_well(finished: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        options = ServeOptions(runs=(finished,), port=0, device="cpu", max_positions=128)
        server = Server(options, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        server.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [] and not server.state.engine.batcher.is_alive


def test_connections_that_say_nothing_are_cut(finished: Path, serve: Serve) -> None:
    server = serve(finished, idle_seconds=2.0)
    host, port = server.address.removeprefix("http://").split(":")
    silent = socket.create_connection((host, int(port)), timeout=20)
    assert silent.recv(100) == b""
    half = socket.create_connection((host, int(port)), timeout=20)
    half.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    assert b"408" in half.recv(100)
    # One that has had an answer, and begins a request that never ends.
    second = socket.create_connection((host, int(port)), timeout=20)
    second.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = b""
    while b'"ok"' not in answer:
        piece = second.recv(1000)
        assert piece, answer
        answer += piece
    second.sendall(b"GET /hea")
    assert second.recv(100) == b""


def test_a_torn_adapter_is_an_error_of_its_own_and_names_no_file(
    copied: Path, serve: Serve, expected: Expected
) -> None:
    server = serve(copied)
    assert asked(server).json()["choices"][0]["text"] == expected("lora", [TEXT])[0]
    [folder] = (copied / "candidates").glob("ia3-*")
    weights = folder / "adapter" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    refused = asked(server, model="ia3")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "adapter_unavailable"
    assert str(copied) not in refused.text and "safetensors" not in refused.text
    assert asked(server).json()["choices"][0]["text"] == expected("lora", [TEXT])[0]
    weights.write_bytes(content)
    assert asked(server, model="ia3").json()["choices"][0]["text"] == expected("ia3", [TEXT])[0]


def test_an_adapter_of_no_numbers_spoils_nothing(
    copied: Path, serve: Serve, expected: Expected
) -> None:
    [folder] = (copied / "candidates").glob("lora-*")
    peft = copied.parent / "nan"
    peft.mkdir()
    source = folder / "adapter"
    (peft / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
    found = load_file(source / "adapter_model.safetensors")
    save_file({n: t * float("nan") for n, t in found.items()}, peft / "adapter_model.safetensors")
    server = serve(copied, adapters={"broken": peft})
    body = {"models": ["lora", "broken", "ia3", "zero_shot"], "prompt": TEXT}
    answers = post(server, "/compare", body).json()["data"]
    assert answers[1]["error"]["code"] == "adapter_not_finite"
    for place in (0, 2):
        name = answers[place]["model"]
        assert answers[place]["text"] == expected(name, [TEXT])[0]


def test_an_adapter_in_pefts_files_is_served_under_its_name(
    finished: Path, serve: Serve, expected: Expected
) -> None:
    adapters = {}
    for kind in ("lora", "ia3", "soft_prompt", "prefix"):
        [folder] = (finished / "candidates").glob(f"{kind}-*")
        adapters[f"my-{kind}"] = folder / "adapter"
    server = serve(finished, adapters=adapters)
    for name in adapters:
        answer = asked(server, model=name).json()["choices"][0]["text"]
        assert answer == expected(name.removeprefix("my-"), [TEXT])[0], name


def test_two_studies_have_names_of_their_own(finished: Path, labelled: Path, serve: Serve) -> None:
    server = serve(finished, labelled)
    names = [m["id"] for m in get(server, "/v1/models").json()["data"]]
    assert {"small/lora", "small/zero_shot", "labels/lora", "labels/zero_shot"} <= set(names)
    assert len(server.state.engine.lanes) == 1  # one base for both
    assert asked(server, model="lora").status_code == 404


def test_labels_and_choices(labelled: Path, serve: Serve) -> None:
    from bakeoff.data.inputs import Input
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.predict import predict

    server = serve(labelled)
    texts = ["A good day 77", "A bad day", "Nothing of the kind"]
    found = post(server, "/v1/classify", {"model": "lora", "input": texts}).json()["data"]
    run = FinishedRun(labelled, "cpu")
    [name] = [n for n in run.kept if n.startswith("lora-")]
    inputs = [Input("-", None, {"text": text}) for text in texts]
    expected = [p.answer for p in predict(run, [run.candidate(name)], inputs)]
    assert [one["label"] for one in found] == expected
    for one in found:
        assert sum(one["probs"]) == pytest.approx(1) and one["num_classes"] == 3
    body = {"model": "lora", "prompt": "Once upon", "choices": [" a time", " a"], "raw": True}
    scored = post(server, "/v1/score", body).json()["data"]
    for one in scored:
        assert one["nll"] == pytest.approx(sum(one["token_nlls"])) and one["nll"] > 0
        assert len(one["tokens"]) == one["num_tokens"]
    assert scored[0]["token_nlls"][0] == pytest.approx(scored[1]["token_nlls"][0], rel=1e-4)
    refused = post(server, "/v1/classify", {"model": "lora"})
    assert refused.status_code == 400


def test_votes_are_kept_in_the_run_and_summed_up(copied: Path, serve: Serve) -> None:
    server = serve(copied)

    def vote(verdict: str, prompt: str, **more: Any) -> httpx.Response:
        body = {"study": "small", "a": "lora", "b": "ia3", "verdict": verdict, "prompt": prompt}
        return post(server, "/votes", {**body, **more})

    # What a kill left half written is no vote, and spoils none.
    (copied / "votes.jsonl").write_text('{"a": "lora", "b":', encoding="ascii")
    for i in range(9):
        assert vote("a", f"prompt {i}").status_code == 200
    assert vote("b", "prompt 9", a="ia3", b="lora").status_code == 200
    assert vote("tie", "prompt 10").status_code == 200
    assert vote("a", "x", b="lora").status_code == 400
    assert vote("a", "x", b="nobody").status_code == 400
    [pair] = get(server, "/votes?study=small").json()["data"]
    assert (pair["a"], pair["b"]) == ("ia3", "lora")
    assert (pair["worse"], pair["tie"], pair["better"], pair["votes"]) == (10, 1, 0, 11)
    assert -1 <= pair["low"] < pair["mean"] < pair["high"] < 0 and pair["verdict"] == "worse"
    lines = (copied / "votes.jsonl").read_text(encoding="ascii").splitlines()
    assert len(lines) == 12 and "prompt 3" not in lines[4]
    assert json.loads(lines[1])["verdict"] == "a"


def test_test_rows_are_searched(served: Server) -> None:
    everything = get(served, "/rows?study=small").json()
    assert everything["total"] == len(everything["data"]) == 4
    row = everything["data"][1]
    word = row["prompt"].split()[3]
    found = get(served, "/rows", params={"study": "small", "search": word}).json()
    assert row in found["data"] and row["reference"]
    assert get(served, "/rows?study=../x").json()["total"] == 0


def test_figures_for_prometheus(served: Server) -> None:
    asked(served)
    text = get(served, "/metrics").text
    for name in ("written_tokens_total", "near_ties_total", "seats", "rows_waiting", "cache_bytes"):
        assert f"bakeoff_{name} " in text
    assert 'bakeoff_requests_total{route="/v1/completions",status="200"}' in text
    assert TEXT not in text


def test_a_server_that_stops_finishes_what_it_writes(
    finished: Path, serve: Serve, held: Held
) -> None:
    server = serve(finished)
    batcher = server.state.engine.batcher
    may_go_on = held(server)
    found: list[httpx.Response] = []
    body: dict[str, Any] = {
        "logit_bias": {"0": -100},
        "no_repeat_ngram": 0,
        "raw": True,
        "max_tokens": 120,
    }
    thread = threading.Thread(target=lambda: found.append(asked(server, **body)))
    thread.start()
    until(lambda: batcher.num_running)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    until(lambda: server._server.should_exit)
    may_go_on.set()
    stopping.join()
    thread.join()
    assert found[0].status_code == 200
    assert found[0].json()["usage"]["completion_tokens"] == 120
    assert not batcher.is_alive


STRANGE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(),
        st.text(st.characters(exclude_categories=()), max_size=6),
        st.sampled_from(["lora", TEXT, "base", 10**30, -1, 1e300, "user", "\x00", "<s>", "{text}"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "text", "x"]), inner, max_size=3),
    ),
    max_leaves=4,
)
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "lora", "prompt": TEXT, "max_tokens": 2},
    "/v1/chat/completions": {
        "model": "lora",
        "messages": [{"role": "user", "content": TEXT}],
        "max_tokens": 2,
    },
    "/v1/classify": {"model": "lora", "input": TEXT},
    "/v1/score": {"model": "lora", "prompt": TEXT, "choices": ["A fair."]},
    "/compare": {"models": ["lora", "ia3"], "prompt": TEXT, "max_tokens": 2},
    "/votes": {"study": "small", "a": "lora", "b": "lora", "verdict": "a"},
}
KEYS_OF_BODIES = (
    *("model", "models", "prompt", "messages", "input", "choices", "row", "max_tokens", "n"),
    *("temperature", "top_p", "seed", "stop", "stream", "logprobs", "raw", "echo", "verdict"),
)


@hypothesis.given(
    path=st.sampled_from(sorted(GOOD_BODIES)),
    changes=st.dictionaries(st.sampled_from(KEYS_OF_BODIES), STRANGE, max_size=3),
    gone=st.sets(st.sampled_from(KEYS_OF_BODIES), max_size=1),
    whole=st.one_of(st.just(None), st.just(None), st.just(None), STRANGE, st.binary(max_size=40)),
)
@hypothesis.settings(max_examples=80, deadline=None, derandomize=True)
def test_any_request_is_answered_or_refused_in_words(
    served: Server, path: str, changes: dict[str, Any], gone: set[str], whole: Any
) -> None:
    body = {k: v for k, v in {**GOOD_BODIES[path], **changes}.items() if k not in gone}
    given_body = body if whole is None else whole
    content = given_body if isinstance(given_body, bytes) else json.dumps(given_body).encode()
    headers = {"content-type": "application/json"}
    answer = post(served, path, content=content, headers=headers)
    assert answer.status_code in (200, 400, 404, 413), (answer.status_code, answer.text)
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert 0 < len(error["message"]) < 1000 and "Traceback" not in answer.text


def test_the_server_lives_after_all_of_them(served: Server, expected: Expected) -> None:
    answer = asked(served)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["text"] == expected("lora", [TEXT])[0]
