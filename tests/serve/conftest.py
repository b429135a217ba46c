"""One finished run of many methods over ``tiny``, made once, and a server of it."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bakeoff.config import dump_yaml
from tests.studies import ScorerHere, small_study, write_rows
from tests.waiting import LONGEST, until

if TYPE_CHECKING:
    from bakeoff.engine.serving.rows import Row
    from bakeoff.serve.running import Server

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4, "learning_rate": 1e-2},
    "soft_prompt": {"prompt_length": 5, "learning_rate": 1e-1},
    "bottleneck": {"learning_rate": 1e-2},
    "ia3": {"learning_rate": 1e-1},
    "prefix": {"prefix_length": 3, "learning_rate": 1e-1},
    "last_layers": {"num_layers": 1, "learning_rate": 1e-3},
    "full": {"learning_rate": 1e-3},
}


def ran(folder: Path, study: dict[str, Any]) -> Path:
    """Runs a study in this process, as ``quick`` of the studies does; returns the run's folder.

    Nothing of it is measured, as no server asks for costs. What is patched is put back at once: the
    tests of other packages run in between.
    """
    from bakeoff.cli.main import main

    (folder / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.metrics.background.RougeScorer", ScorerHere)
        patch.setattr("bakeoff.study.stages.measure_all", lambda *given: None)
        patch.setattr("bakeoff.report.write_report", lambda folder, *_: folder / "report.html")
        patch.setenv("OMP_WAIT_POLICY", "passive")
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["bakeoff", "run", "study.yaml", "--out", str(out)])
        with pytest.raises(SystemExit) as caught:
            main()
    assert not caught.value.code
    return out


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of summaries."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("served")
    write_rows(folder / "rows")
    study = small_study(base="tiny", methods=METHODS, generation={"max_new_tokens": 12})
    return ran(folder, study)


@pytest.fixture(scope="package")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of labels."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "rows").mkdir()
    labels = ("good", "bad", "so so")
    for split, size in (("train", 12), ("validation", 6), ("test", 6)):
        rows = [
            {"text": f"A {labels[i % 3]} {split} {i}", "label": labels[i % 3]} for i in range(size)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "rows" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    study = small_study(base="tiny", methods={"lora": METHODS["lora"]}, name="labels")
    study["task"] = {"kind": "classify", "source": "rows", "max_length": 96}
    del study["generation"]
    return ran(folder, study)


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The run in a folder that a test may change."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


Serve = Callable[..., "Server"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on free ports of this machine; they end with the test."""
    started: list[Server] = []

    def call(*runs: Path, **settings: Any) -> Server:
        started.append(made(runs, settings).__enter__())
        return started[-1]

    yield call
    for server in started:
        server.stop()


def made(runs: Sequence[Path], settings: dict[str, Any]) -> Server:
    from bakeoff.serve.options import ServeOptions
    from bakeoff.serve.running import Server

    torch.set_num_threads(1)
    given = {"port": 0, "device": "cpu", "max_positions": 256, "max_seats": 8, **settings}
    return Server(ServeOptions(runs=tuple(runs), **given))


@pytest.fixture(scope="package")
def served(finished: Path) -> Iterator[Server]:
    """A server of the run of summaries, for tests that leave it as it is."""
    with made([finished], {}) as server:
        yield server


class Leavers:
    """Counts the rows of a server whose clients leave; none of them writes before that.

    A small model may write its last token before the server notices that a client has gone, so
    rows that write are held until all of them have been cancelled.
    """

    def __init__(self, server: Server, patch: pytest.MonkeyPatch) -> None:
        self.batcher = server.state.engine.batcher
        self.settle()
        self._before = self._counted
        write, cancel = self.batcher._write, self.batcher.cancel
        changed = threading.Condition()

        def cancelling(rows: Sequence[Row]) -> None:
            cancel(rows)
            with changed:
                changed.notify_all()

        def writing(rows: Sequence[Row]) -> None:
            with changed:
                changed.wait_for(lambda: all(row.cancelled for row in rows), 30.0)
            write(rows)

        patch.setattr(self.batcher, "cancel", cancelling)
        patch.setattr(self.batcher, "_write", writing)

    @property
    def _counted(self) -> int:
        return self.batcher.counts.faults.get("cancelled", 0)

    def settle(self) -> None:
        """Waits until no row is in a seat or waits for one."""
        until(lambda: not self.batcher.num_waiting and not self.batcher.num_running)

    @property
    def num_cancelled(self) -> int:
        """Rows that were cancelled since, once no row is left."""
        self.settle()
        return self._counted - self._before


Held = Callable[["Server"], threading.Event]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Keeps the rows of a server from being written until the event is set."""

    def call(server: Server) -> threading.Event:
        batcher = server.state.engine.batcher
        may_go_on, write = threading.Event(), batcher._write

        def waiting(rows: Sequence[Row]) -> None:
            may_go_on.wait(LONGEST)
            write(rows)

        monkeypatch.setattr(batcher, "_write", waiting)
        return may_go_on

    return call


LeaversOf = Callable[["Server"], Leavers]


@pytest.fixture
def leavers_of(monkeypatch: pytest.MonkeyPatch) -> LeaversOf:
    """See ``Leavers``; the server writes as before once the test has ended."""
    return lambda server: Leavers(server, monkeypatch)


@pytest.fixture(scope="package")
def expected(finished: Path) -> Callable[[str, Sequence[str]], list[str]]:
    """What ``predict`` answers, by method; asked once for each."""
    from bakeoff.data.inputs import Input
    from bakeoff.decide.representative import representative
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.predict import predict

    run = FinishedRun(finished, "cpu")
    known: dict[tuple[str, str], str] = {}

    def answers(method: str, texts: Sequence[str]) -> list[str]:
        new = [text for text in dict.fromkeys(texts) if (method, text) not in known]
        if new:
            chosen = representative(run.results, method, run.results.candidates)
            inputs = [Input("-", None, {"text": text}) for text in new]
            found = predict(run, [run.candidate(chosen)], inputs)
            known.update({(method, p.input.values["text"]): p.answer for p in found})  # type: ignore[misc]
        return [known[method, text] for text in texts]

    return answers
