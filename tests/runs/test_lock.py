"""One process a folder: who comes second is told who is there, and a dead holder holds nothing."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.errors import StoreError
from bakeoff.runs.folder import STUDY_FILE, open_run
from bakeoff.runs.lock import HOLDER_FILE, LOCK_FILE, is_running, locked

Run = Callable[..., Any]
STUDY = {"name": "x", "protocol": {"epochs": 1}}
HOLDER = """
import sys
from pathlib import Path
from bakeoff.runs.folder import open_run
with open_run(Path(sys.argv[1]), {"name": "x", "protocol": {"epochs": 1}}) as folder:
    if "claim" in sys.argv:
        folder.claim({"base": "b"}, {"torch": "1"})
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def another_process(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Holds the folder until it is killed or its standard input ends."""
    source = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *more],
        env=os.environ | {"PYTHONPATH": source},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.parametrize(
    ("holder", "runs"),
    [
        ({"pid": os.getppid(), "host": platform.node()}, True),
        ({"pid": os.getpid(), "host": platform.node()}, False),
        ({"pid": os.getppid(), "host": "another machine"}, False),
        ({"pid": "1", "host": platform.node()}, False),
        ({"pid": os.getppid()}, False),
        (None, False),
    ],
)
def test_a_run_goes_on_where_another_process_of_this_machine_holds_it(
    tmp_path: Path, holder: dict[str, object] | None, runs: bool
) -> None:
    if holder is not None:
        (tmp_path / HOLDER_FILE).write_text(json.dumps(holder), encoding="utf-8")
    assert is_running(tmp_path) is runs


def test_a_second_process_is_told_who_holds_the_folder(run_small: Run, place: Path) -> None:
    with another_process(place / "out") as process:
        outcome = run_small()
        assert outcome.code == 2
        assert f"process {process.pid} on {platform.node()}, since 20" in outcome.message
        assert "is running a study there" in outcome.message
        assert "--out" in outcome.message
        assert names(place / "out") == {LOCK_FILE, HOLDER_FILE}
    assert names(place / "out") == set()


def test_a_second_opening_in_this_process_is_refused_too(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", STUDY):
        expected = f"process {os.getpid()} on {platform.node()}"
        with pytest.raises(StoreError, match=expected), open_run(tmp_path / "run", STUDY):
            pytest.fail("two hold one folder")
    with open_run(tmp_path / "run", STUDY):
        pass


def test_who_came_second_takes_nothing_from_the_holder(tmp_path: Path) -> None:
    with another_process(tmp_path / "run"):
        for _ in range(2):
            with pytest.raises(StoreError, match="is running"), open_run(tmp_path / "run", STUDY):
                pytest.fail("two hold one folder")
        assert names(tmp_path / "run") == {LOCK_FILE, HOLDER_FILE}


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with another_process(tmp_path / "run", "claim") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert {LOCK_FILE, HOLDER_FILE, STUDY_FILE} <= names(tmp_path / "run")
    with open_run(tmp_path / "run", STUDY) as folder:
        assert f'"pid": {os.getpid()}' in (folder.path / HOLDER_FILE).read_text()


def test_a_holder_killed_before_it_claimed_leaves_a_folder_to_be_used(tmp_path: Path) -> None:
    with another_process(tmp_path / "run") as process:
        process.send_signal(signal.SIGKILL)
    with open_run(tmp_path / "run", {"name": "another"}):
        pass
    assert names(tmp_path / "run") == set()


def test_a_holder_without_a_name_holds_all_the_same(tmp_path: Path) -> None:
    with another_process(tmp_path / "run"):
        for content in ("", "{", "[]", "{}"):
            (tmp_path / "run" / HOLDER_FILE).write_text(content)
            with (
                pytest.raises(StoreError, match="another process is running"),
                open_run(tmp_path / "run", STUDY),
            ):
                pytest.fail("two hold one folder")


def test_folders_side_by_side_do_not_know_each_other(tmp_path: Path) -> None:
    with open_run(tmp_path / "a", STUDY), open_run(tmp_path / "b", STUDY):
        pass


def test_a_refused_study_leaves_an_empty_folder(run_small: Run, place: Path) -> None:
    assert run_small(task={"source": "nowhere"}).code == 2
    assert list((place / "out").iterdir()) == []


def test_a_folder_that_is_no_runs_is_left_as_it_was(run_small: Run, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out/mine.txt").write_text("mine", encoding="utf-8")
    outcome = run_small()
    assert outcome.code == 2
    assert "not a run's folder" in outcome.message
    assert names(place / "out") == {"mine.txt"}


def test_a_fault_lets_go_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(LookupError), open_run(tmp_path / "run", STUDY) as folder:
        folder.claim({"base": "b"}, {"torch": "1"})
        raise LookupError
    assert HOLDER_FILE not in names(tmp_path / "run")
    with open_run(tmp_path / "run", STUDY):
        pass


@pytest.mark.usefixtures("quick")
def test_a_complete_study_is_not_held_and_names_no_holder(
    finished: Run, run_small: Run, place: Path
) -> None:
    finished()
    assert HOLDER_FILE not in names(place / "out")
    assert run_small().code == 0


def test_fresh_puts_a_run_aside_that_nobody_holds_and_holds_the_new_one(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", STUDY) as folder:
        folder.claim({"base": "b"}, {"torch": "1"})
    with open_run(tmp_path / "run", {"name": "another"}, fresh=True) as folder:
        assert names(folder.path) == {LOCK_FILE, HOLDER_FILE}
        with pytest.raises(StoreError, match="is running"), open_run(tmp_path / "run", STUDY):
            pytest.fail("two hold one folder")
        folder.claim({"base": "b"}, {"torch": "1"})
    [aside] = [entry for entry in tmp_path.iterdir() if entry.name != "run"]
    assert aside.name.startswith("run.before-")
    assert STUDY_FILE in names(aside)
    assert HOLDER_FILE not in names(aside)
    with open_run(aside, STUDY):  # and nobody holds what was put aside
        pass


@pytest.mark.usefixtures("quick")
def test_fresh_is_refused_while_somebody_runs(finished: Run, run_small: Run, place: Path) -> None:
    finished()
    with locked(place / "out", keeps=STUDY_FILE):
        before = names(place / "out")
        outcome = run_small("--fresh")
        assert outcome.code == 2
        assert f"process {os.getpid()} on" in outcome.message
        assert names(place / "out") == before
        assert not list(place.glob("out.before-*"))
    assert run_small("--fresh").code == 0
    assert len(list(place.glob("out.before-*"))) == 1


def test_a_fresh_study_that_is_not_begun_leaves_the_run_and_holds_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", STUDY) as folder:
        folder.claim({"base": "b"}, {"torch": "1"})
    before = names(tmp_path / "run")
    with (
        pytest.raises(LookupError),
        open_run(tmp_path / "run", {"name": "another"}, fresh=True) as folder,
    ):
        folder.write_text("budget.json", "{}")
        raise LookupError
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert names(tmp_path / "run") == before
    with open_run(tmp_path / "run", STUDY):
        pass


def test_fresh_on_a_full_disk_leaves_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path / "run", STUDY) as folder:
        folder.claim({"base": "b"}, {"torch": "1"})

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with (
        pytest.raises(StoreError, match="the disk is full"),
        open_run(tmp_path / "run", STUDY, fresh=True),
    ):
        pytest.fail("nothing can be written")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert STUDY_FILE in names(tmp_path / "run")


def test_fresh_twice_within_a_second_keeps_both_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime
    from types import SimpleNamespace

    from bakeoff.runs import aside

    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(aside, "datetime", SimpleNamespace(now=lambda zone: moment))
    for name in ("one", "two", "three"):
        with open_run(tmp_path / "run", {"name": name}, fresh=True) as folder:
            folder.claim({"base": "b"}, {"torch": "1"})
    texts = [file.read_text() for file in tmp_path.rglob(STUDY_FILE)]
    assert sorted(texts) == ["name: one\n", "name: three\n", "name: two\n"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"), open_run(tmp_path / "run", STUDY):
        pytest.fail("nothing can be written there")
