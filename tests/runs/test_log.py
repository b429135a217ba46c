"""What ``run.log`` holds, and when there is one."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.runs.folder import STUDY_FILE
from bakeoff.runs.log import LOG_FILE, LOGGER, level_of, logged_stage, run_log

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) \w+: .+", re.ASCII
)


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    """A folder that is a study's."""
    (tmp_path / STUDY_FILE).write_text("name: x\n", encoding="utf-8")
    return tmp_path


def lines(folder: Path) -> list[str]:
    return (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()


def test_every_line_has_time_level_module_and_message(claimed: Path) -> None:
    with run_log(claimed, study="demo", device="cpu"), logged_stage("training"):
        logging.getLogger("bakeoff.study").info("seed %d ends", 3)
        LOGGER.debug("left out")
    found = lines(claimed)
    assert all(LINE.fullmatch(line) for line in found)
    assert [line.partition(": ")[2].partition(",")[0] for line in (found[0], found[-1])] == [
        "study demo begins",
        "study demo ends",
    ]
    assert "device cpu" in found[0] and "torch " in found[0] and "Python 3." in found[0]
    assert [line.partition(": ")[2] for line in found[1:3]] == ["training starts", "seed 3 ends"]
    assert re.search(r"training ends after \d+\.\d s$", found[3])
    assert "left out" not in "".join(found)


def test_a_second_run_appends(claimed: Path) -> None:
    for _ in range(2):
        with run_log(claimed, study="demo", device="cpu"):
            pass
    assert len(lines(claimed)) == 4


def test_the_level_decides_what_is_kept(claimed: Path) -> None:
    with run_log(claimed, level_of("warning"), study="demo", device="cpu"):
        LOGGER.info("not this")
        LOGGER.warning("this")
    assert [line.rpartition(" ")[2] for line in lines(claimed)] == ["this"]


def test_nothing_is_attached_afterwards(claimed: Path) -> None:
    handlers, level = list(LOGGER.handlers), LOGGER.level
    with run_log(claimed, level_of("debug"), study="demo", device="cpu"):
        assert LOGGER.handlers != handlers
    assert (LOGGER.handlers, LOGGER.level) == (handlers, level)


def test_a_refused_study_leaves_no_log(tmp_path: Path) -> None:
    with pytest.raises(DataError), run_log(tmp_path, study="demo", device="cpu"):
        raise DataError("no rows")
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_the_claim_is_kept_with_it(tmp_path: Path) -> None:
    with run_log(tmp_path, study="demo", device="cpu"):
        LOGGER.info("before")
        (tmp_path / STUDY_FILE).write_text("name: x\n", encoding="utf-8")
        LOGGER.info("after")
    assert [line.rpartition(" ")[2] for line in lines(tmp_path)[1:3]] == ["before", "after"]


def test_a_fault_leaves_its_traceback(claimed: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        run_log(claimed, study="demo", device="cpu"),
        logged_stage("test"),
    ):
        _ = 1 / 0
    text = (claimed / LOG_FILE).read_text(encoding="utf-8")
    assert re.search(r"WARNING \w+: test left after \d+\.\d s \(ZeroDivisionError\)", text)
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: division by zero" in text


def test_a_refusal_and_an_interrupt_leave_one_line(claimed: Path) -> None:
    with pytest.raises(ConfigError), run_log(claimed, study="demo", device="cpu"):
        raise ConfigError("rank: 0 is below 1")
    with pytest.raises(KeyboardInterrupt), run_log(claimed, study="demo", device="cpu"):
        raise KeyboardInterrupt
    found = lines(claimed)
    assert [line.partition(": ")[2] for line in found if "begins" not in line] == [
        "refused: rank: 0 is below 1",
        "stopped: interrupted",
    ]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="--log-level 'debg': did you mean debug"):
        level_of("debg")


def test_a_full_disk_takes_the_log_and_nothing_else(
    claimed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_log(claimed, study="x", device="cpu"):
        [handler] = [h for h in LOGGER.handlers if isinstance(h, logging.FileHandler)]
        LOGGER.info("before")
        assert handler.stream is not None
        handler.stream.close()
        # A device that is always full, as a disk may be.
        handler.stream = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
        LOGGER.info("after")
    assert capsys.readouterr().err == ""
