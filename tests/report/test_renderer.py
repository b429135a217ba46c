"""Figures are drawn in a process of their own: whatever ends it costs its figure alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from bakeoff.page import renderer
from bakeoff.page.drawing import drawn, png_file
from bakeoff.page.renderer import DrawingError, svg_of

SPEC: dict[str, Any] = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"x": 1, "y": 2}]},
    "mark": "point",
    "encoding": {"x": {"field": "x"}, "y": {"field": "y"}},
}
OTHER: dict[str, Any] = {**SPEC, "mark": "bar"}


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    renderer._end()


def pid() -> int:
    return renderer._KEPT[0]._process.pid


def test_one_process_draws_figure_after_figure() -> None:
    first = drawn(SPEC)
    assert first.startswith("<svg") and drawn(SPEC) == first
    before = pid()
    assert png_file(first).startswith(b"\x89PNG")
    assert pid() == before != os.getpid()


def test_a_process_that_dies_costs_its_figure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(SPEC)
    os.kill(pid(), signal.SIGKILL)
    said = drawn(SPEC)
    assert "could not be drawn: the renderer&#x27;s process ended" in said
    assert png_file(said).startswith(b"\x89PNG")
    assert "could not be drawn" not in drawn(SPEC)


def test_an_interrupted_question_leaves_no_answer_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = drawn(OTHER)

    class Interrupted:
        """A process's output, the first line of which is waited for and not read."""

        def __init__(self, output: Any) -> None:
            self.output, self.is_first = output, True

        def __getattr__(self, name: str) -> Any:
            return getattr(self.output, name)

        def readline(self) -> Any:
            if self.is_first:
                self.is_first = False
                raise KeyboardInterrupt
            return self.output.readline()

    process = renderer._KEPT[0]._process
    monkeypatch.setattr(process, "stdout", Interrupted(process.stdout))
    with pytest.raises(KeyboardInterrupt):
        drawn(SPEC)
    assert drawn(OTHER) == other


def test_what_the_library_refuses_is_said() -> None:
    with pytest.raises(DrawingError, match="ValueError"):
        svg_of({"mark": {"type": "no such mark"}, "data": 3})


def test_a_figure_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "MOST_SECONDS", 0.5)
    monkeypatch.setattr(renderer, "_SERVE", "import sys; sys.stdin.readline(); sys.stdin.read()")
    with pytest.raises(DrawingError, match="process ended"):
        svg_of(SPEC)


def test_without_a_process_there_is_a_picture_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    said = drawn(SPEC)
    assert "process could not be started" in said
    assert png_file(said).startswith(b"\x89PNG\r\n\x1a\n")
