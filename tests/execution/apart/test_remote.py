"""What workers leave at an address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.runs.folder import file_records
from tests.object_store import object_store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store() as address:
        yield address


@pytest.fixture(params=["file", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteFiles:
    if request.param == "s3":
        address = f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    else:
        address = (
            f"file://{tmp_path}/far" if request.param == "file" else f"memory://{tmp_path.name}"
        )
    found = RemoteFiles(address, "run")
    found.check()
    return found


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_tries_come_over_as_they_are_and_what_changed_comes_again(
    files: RemoteFiles, tmp_path: Path
) -> None:
    place = tmp_path / "worker/attempt-2"
    (place / "cohorts/train-base-0").mkdir(parents=True)
    (place / "cohorts/train-base-0/000001-ab.safetensors").write_text("state")
    (place / "events.jsonl").write_text("one\n")
    (place / ".half.part").write_text("not whole")
    files.push(place, "train-base-0")
    (place / "events.jsonl").write_text("two\n")
    (place / "outcome.json").write_text("{}")
    files.push(place, "train-base-0")
    driver = tmp_path / "driver"
    files.pull(driver, "train-base-0")
    expected = {f"attempt-2/{name}": text for name, text in contents(place).items()}
    del expected["attempt-2/.half.part"]
    assert contents(driver) == expected
    files.forget("train-base-0")
    files.pull(tmp_path / "later", "train-base-0")
    assert not (tmp_path / "later").exists()


def test_what_a_job_reads_is_offered_by_its_content(files: RemoteFiles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "candidates/a").mkdir(parents=True)
    (run / "candidates/a/adapter").write_text("same")
    (run / "candidates/b").write_text("same")
    records = file_records(run, ["candidates/a/adapter", "candidates/b"])
    files.offer(run, records)
    files.take(tmp_path / "worker", records)
    assert contents(tmp_path / "worker") == contents(run)


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"execution.files: nothere://a cannot be opened"):
        RemoteFiles("nothere://a", "run")


def test_a_misspelt_bucket_is_refused_and_not_made(bucket: str) -> None:
    files = RemoteFiles("s3://bakeof/runs", "run")
    with pytest.raises(StoreError, match=r"execution.files: s3://bakeof/runs cannot be written"):
        files.check()
    assert files._system.ls("") == ["bakeoff"]


def test_a_worker_sees_whether_it_reaches_the_drivers_address(
    files: RemoteFiles, tmp_path: Path
) -> None:
    checks = Checks(shared=False, files=files)
    with checks.shown_in(tmp_path):
        opener: Any = dict
        worker = JobWorker(opener, 1, orphans=False)
        found = worker.about({}, str(tmp_path), checks.token, (files.address, "run"))
        assert found["sees"] and not found["why"]
        other = worker.about({}, str(tmp_path), checks.token, (files.address, "another"))
        assert not other["sees"] and "FileNotFoundError" in other["why"]


def test_what_the_driver_put_there_goes_with_it(files: RemoteFiles, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/adapter").write_text("same")
    place = tmp_path / "attempt-1"
    place.mkdir()
    (place / "notes.json").write_text("[]")
    files.offer(tmp_path / "run", file_records(tmp_path / "run", ["adapter"]))
    files.push(place, "train-base-0")
    files.tidy()
    assert [str(name).partition("/run/")[2] for name in files._system.find(files._root)] == [
        "train-base-0/attempt-1/notes.json"
    ]
    files.forget("train-base-0")
    files.tidy()
    assert not files._system.exists(files._root)


def test_tokens_of_drivers_that_were_killed_go(tmp_path: Path) -> None:
    (tmp_path / ".seen-by-workers-0123").touch()
    with Checks().shown_in(tmp_path):
        assert len([*tmp_path.iterdir()]) == 1
    assert not [*tmp_path.iterdir()]
