"""Partial results while a study runs: not too often, and never at the study's cost."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bakeoff.report.live import rewriting
from bakeoff.study.snapshots import LEAST_SECONDS, MOST_SHARE, Snapshots
from tests.ports import kept_port
from tests.waiting import LONGEST

Run = Callable[..., Any]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_they_are_taken_at_most_every_few_seconds() -> None:
    clock, events = Clock(), []
    snapshots = Snapshots(lambda: events.append("w"), lambda: events.append("t"), clock)
    snapshots.take()
    assert events == ["w", "t"]
    clock.now += LEAST_SECONDS - 0.01
    snapshots.take()
    assert events == ["w", "t"]
    clock.now += 0.02
    snapshots.take()
    assert events == ["w", "t"] * 2


def test_what_takes_long_is_done_more_seldom() -> None:
    clock = Clock()
    starts: list[float] = []

    def write() -> None:
        starts.append(clock.now)
        clock.now += 2.0

    snapshots = Snapshots(write, lambda: None, clock)
    for _ in range(1000):
        snapshots.take()
        clock.now += 1.0
    gaps = {late - early for early, late in pairwise(starts)}
    assert min(gaps) >= 2.0 / MOST_SHARE


@pytest.mark.usefixtures("quick")
def test_a_live_run_shows_partial_results_and_ends_its_page(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch, results: Callable[[], Any]
) -> None:
    seen: list[tuple[str, bytes]] = []

    def news(self: rewriting.Rewriting) -> None:
        found = results()
        seen.append((found["status"], _page()))

    def _page() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LONGEST) as answer:
            content = answer.read()
            assert isinstance(content, bytes)
            return content

    monkeypatch.setattr(rewriting.Rewriting, "news", news)
    with kept_port() as port:
        outcome = run_small("--live", "--port", port)
        with pytest.raises(OSError):
            _page()
    assert outcome.code == 0, outcome.err
    assert f"http://127.0.0.1:{port}/" in outcome.out
    assert seen[0][0] == "partial" and b"<iframe" in seen[0][1]
    assert results()["status"] == "complete"


def test_a_port_without_a_page_is_refused(run_small: Run) -> None:
    outcome = run_small("--port", "8080")
    assert outcome.code == 2
    assert "--port 8080: has no effect without --live" in outcome.message
