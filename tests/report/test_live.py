"""The page of a running study, over a loopback socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import pytest

from bakeoff.errors import ConfigError
from bakeoff.report.live import rewriting
from bakeoff.report.live import server as live
from bakeoff.report.live.rewriting import Rewriting
from bakeoff.report.live.server import LiveServer

PAGE = b"<!doctype html><title>report</title>"
PATIENCE = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with a report and with what is no one's business."""
    run = tmp_path / "run"
    (run / "figures").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    (run / "report.html").write_bytes(PAGE)
    (run / "report.md").write_text("# report")
    (run / "results.json").write_text("{}")
    (run / "figures/curves.svg").write_text("<svg/>")
    (run / "study.yaml").write_text("name: secret")
    (run / "study.db").write_text("secret")
    (run / "checkpoints/state.json").write_text("secret")
    (tmp_path / "outside.svg").write_text("secret")
    return run


@pytest.fixture
def server(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(folder) as running:
        yield running


class Answer:
    def __init__(self, server: LiveServer, path: str, method: str = "GET", **headers: str) -> None:
        port = int(server.url.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        self.status, self.body, self.headers = answer.status, answer.read(), answer.headers
        connection.close()


def test_the_reports_own_files_are_served(server: LiveServer) -> None:
    for path, kind, content in (
        ("/report.html", "text/html; charset=utf-8", PAGE),
        ("/report.md", "text/markdown; charset=utf-8", b"# report"),
        ("/results.json", "application/json", b"{}"),
        ("/figures/curves.svg", "image/svg+xml", b"<svg/>"),
    ):
        answer = Answer(server, path)
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/study.yaml",
        "/study.db",
        "/checkpoints/state.json",
        "/figures/../study.yaml",
        "/figures/..%2fstudy.yaml",
        "/../outside.svg",
        "/figures/../../outside.svg",
        "//etc/passwd",
        "/report.html/",
        "/figures/",
        "/figures/.hidden.svg",
        "/figures/link.svg",
        "/report.html%00",
    ],
)
def test_nothing_else_is(server: LiveServer, folder: Path, path: str) -> None:
    (folder / "figures/.hidden.svg").write_text("secret")
    (folder / "figures/link.svg").symlink_to(folder.parent / "outside.svg")
    answer = Answer(server, path)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_it_is_read_only(server: LiveServer, method: str) -> None:
    answer = Answer(server, "/report.html", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0", ""]
)
def test_another_name_that_points_here_is_refused(server: LiveServer, host: str) -> None:
    assert Answer(server, "/report.html", Host=host).status == 403
    assert Answer(server, "/", Host=host).status == 403


def test_a_request_without_a_host_is_refused(server: LiveServer) -> None:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /report.html HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 403")


def test_this_machines_own_names_are_answered(server: LiveServer) -> None:
    port = server.url.rstrip("/").rpartition(":")[2]
    assert Answer(server, "/report.html", Host=f"localhost:{port}").status == 200


def test_the_tag_changes_with_the_report_and_spares_what_is_known(
    server: LiveServer, folder: Path
) -> None:
    first = Answer(server, "/report.html", "HEAD")
    assert (first.status, first.body) == (200, b"")
    assert first.headers["Content-Length"] == str(len(PAGE))
    tag = first.headers["ETag"]
    again = Answer(server, "/report.html", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    (folder / "report.html").write_bytes(PAGE + b"more")
    changed = Answer(server, "/report.html", If_None_Match=tag)
    assert changed.status == 200 and changed.headers["ETag"] != tag


def test_before_the_first_report_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as server:
        answer = Answer(server, "/report.html")
        assert answer.status == 200 and b"Nothing is trained yet" in answer.body
        assert Answer(server, "/report.md").status == 404


def test_the_page_around_it_allows_its_own_script_only(server: LiveServer) -> None:
    answer = Answer(server, "/")
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert (
        len(re.findall(rb"<script", answer.body)) == len(re.findall(rb"<style", answer.body)) == 1
    )
    assert f"'sha256-{live._hash_of(b'script')}'" in policy
    assert b'src="/report.html"' in answer.body


def test_it_listens_on_this_machine_alone_and_ends_with_the_run(folder: Path) -> None:
    with LiveServer(folder) as server:
        address = server._server.socket.getsockname()
        assert address[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match=f"--port {address[1]}: cannot be listened on"):
            LiveServer(folder, address[1])
    with pytest.raises(ConnectionError):
        socket.create_connection(address, timeout=PATIENCE)


def test_it_says_how_far_the_study_is_and_waits_for_who_looks_at_the_end(folder: Path) -> None:
    state = {"text": "training (stage 2 of 4), epoch 3 of 10, about 12 minutes left"}
    with LiveServer(folder, state=lambda: state) as server:
        server.end()  # no one looks: it returns at once
    with LiveServer(folder, state=lambda: state) as server:
        found = json.loads(Answer(server, "/state.json").body)
        assert found == {**state, "has_ended": False}
        ending = Thread(target=server.end, args=(PATIENCE,))
        Answer(server, "/report.html")  # the last but one
        ending.start()
        while not json.loads(Answer(server, "/state.json").body)["has_ended"]:
            pass
        assert ending.is_alive()
        Answer(server, "/report.html", "HEAD")
        assert ending.is_alive()
        Answer(server, "/report.html")
        ending.join(PATIENCE)
        assert not ending.is_alive()


class Process:
    """Stands in for the process that draws a report; ends when it is told to."""

    started: ClassVar[list[Process]] = []

    def __init__(self, arguments: list[str], **settings: Any) -> None:
        self.arguments, self.pid = arguments, os.getpid()
        self.may_end, self.was_killed = Event(), False
        Process.started.append(self)
        begun.set()

    def poll(self) -> int | None:
        return 0 if self.may_end.is_set() else None

    def kill(self) -> None:
        self.was_killed = True
        self.may_end.set()

    def wait(self) -> int:
        return 0


begun = Event()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    Process.started = []
    begun.clear()
    monkeypatch.setattr("bakeoff.report.live.rewriting.subprocess.Popen", Process)
    monkeypatch.setattr("bakeoff.report.live.rewriting.psutil.Process", lambda pid: Nice())
    monkeypatch.setattr(rewriting, "REST_SECONDS", 0.0)
    return Process.started


class Nice:
    def nice(self, value: int) -> None:
        assert value > 0


def test_news_has_the_report_written_by_a_process_of_its_own(
    folder: Path, processes: list[Process]
) -> None:
    with Rewriting(folder) as writing:
        assert not processes
        writing.news()
        assert begun.wait(PATIENCE)
        [first] = processes
        assert first.arguments[-2:] == ["report", str(folder)]
        begun.clear()
        for _ in range(5):
            writing.news()  # while one is being written: one more is enough
        assert len(processes) == 1
        first.may_end.set()
        assert begun.wait(PATIENCE)
        assert len(processes) == 2 and not first.was_killed
        (folder / ".report.html.part").write_text("half")
    assert processes[1].was_killed
    assert not (folder / ".report.html.part").exists()
    assert (folder / "report.html").exists()


def test_a_writer_that_cannot_start_is_no_ones_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Event()

    def refused(*_: Any, **__: Any) -> None:
        tried.set()
        raise OSError("no processes left")

    monkeypatch.setattr("bakeoff.report.live.rewriting.subprocess.Popen", refused)
    with Rewriting(folder) as writing:
        writing.news()
        assert tried.wait(PATIENCE)


def test_results_json_is_what_the_page_serves(server: LiveServer, folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps({"status": "partial"}))
    assert json.loads(Answer(server, "/results.json").body) == {"status": "partial"}
