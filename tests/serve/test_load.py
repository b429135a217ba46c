"""32 clients for minutes, a third of them gone midway, over the loopback address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.studies import CITIES
from tests.waiting import LONGEST

CLIENTS = 32
SECONDS = float(os.environ.get("BAKEOFF_LOAD_SECONDS", "300"))
MODELS = ("lora", "soft_prompt", "bottleneck", "ia3", "prefix", "last_layers")
TEXTS = [f"The fair of {city} drew {31 * i} people, they said." for i, city in enumerate(CITIES)]
Expected = Callable[[str, Sequence[str]], list[str]]


@pytest.mark.soak
def test_no_answer_is_lost_or_mixed_up_and_memory_is_flat(
    finished: Path, expected: Expected
) -> None:
    answers = {m: dict(zip(TEXTS, expected(m, TEXTS), strict=True)) for m in MODELS}
    command = [sys.executable, "-m", "bakeoff", "serve", str(finished), "--port", "0"]
    settings = ["--device", "cpu", "--max-positions", "256", "--max-seats", "16"]
    server = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        memory = _hammer(address, answers, server.pid)
        begun = threading.Event()
        last: list[httpx.Response] = []

        def long_one() -> None:
            begun.set()
            body = {"model": "lora", "prompt": "a", "raw": True, "max_tokens": 200}
            more = {"no_repeat_ngram": 0, "logit_bias": {"0": -100}}
            last.append(httpx.post(f"{address}/v1/completions", json={**body, **more}, timeout=120))

        thread = threading.Thread(target=long_one)
        thread.start()
        begun.wait()
        while (
            "bakeoff_rows_running 1.0" not in httpx.get(f"{address}/metrics", timeout=LONGEST).text
        ):
            assert thread.is_alive()
        server.send_signal(signal.SIGTERM)
        thread.join()
        assert last[0].json()["usage"]["completion_tokens"] == 200
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.wait()
    # By minutes where there are five; a short run has fifths of its time.
    fifth = len(memory) // 5
    second, fifth_part = memory[fifth : 2 * fifth], memory[-fifth:]
    medians = [round(float(np.median(part))) for part in (second, fifth_part)]
    print(f"bytes in the second fifth and in the last: {medians}")
    assert float(np.median(fifth_part)) <= 1.02 * float(np.median(second))


def _hammer(address: str, answers: dict[str, dict[str, str]], pid: int) -> list[int]:
    """Resident bytes of the server, twice a second, while all clients ask."""
    ends = time.monotonic() + SECONDS
    faults: list[str] = []
    asked = [0] * CLIENTS

    def client(number: int) -> None:
        draw = np.random.default_rng(number)
        with httpx.Client(timeout=120) as session:
            while time.monotonic() < ends and not faults:
                model = MODELS[int(draw.integers(len(MODELS)))]
                text = TEXTS[int(draw.integers(len(TEXTS)))]
                body = {"model": model, "prompt": text, "stream": True}
                leaves = draw.random() < 1 / 3
                url = f"{address}/v1/completions"
                try:
                    with session.stream("POST", url, json=body) as response:
                        if response.status_code == 429:
                            continue
                        found = _read(response, leaves=leaves)
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                    return
                asked[number] += 1
                if not leaves and found != answers[model][text]:
                    faults.append(f"{model}, {text}: {found!r}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    process, memory = psutil.Process(pid), []
    while any(thread.is_alive() for thread in threads):
        memory.append(process.memory_info().rss)
        threads[0].join(0.5)
        if not threads[0].is_alive():
            for thread in threads:
                thread.join()
    assert faults == []
    assert min(asked) > 0
    print(f"{sum(asked)} requests of {CLIENTS} clients in {SECONDS:.0f} s")
    return memory


def _read(response: httpx.Response, *, leaves: bool) -> str:
    text = ""
    for line in response.iter_lines():
        if line.startswith("data: {"):
            content = json.loads(line[6:])
            if "error" in content:
                return str(content)
            text += str(content["choices"][0]["text"])
            if leaves:
                return text
    return text
