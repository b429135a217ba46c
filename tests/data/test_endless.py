"""Input that would never end is refused before it is read, with the limit that it breaks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakeoff.config import load_yaml
from bakeoff.data.inputs import read_inputs
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import column_names, read_records
from bakeoff.data.sources import open_source
from bakeoff.errors import ConfigError, DataError
from bakeoff.study.loading import load_study

COLUMNS = {"text": "text"}
ENDLESS = ("fifo.jsonl", "zero.csv", "fifo.parquet")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A folder with FIFOs that no one writes to, and a link to a device."""
    os.mkfifo(tmp_path / "fifo.jsonl")
    os.mkfifo(tmp_path / "fifo.parquet")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    return tmp_path


@pytest.mark.parametrize("name", ENDLESS)
def test_a_source_that_is_no_regular_file_is_refused(endless: Path, name: str) -> None:
    path = endless / name
    assert column_names(path) == []
    with pytest.raises(DataError, match="is no regular file"):
        list(read_records(path, COLUMNS))
    files: dict[str, str | list[str]] = dict.fromkeys(("train", "validation", "test"), str(path))
    source = open_source(TaskOptions(kind="text", source=files), COLUMNS, root=endless)
    with pytest.raises(DataError, match="is no regular file"):
        source.fingerprint()


@pytest.mark.parametrize("name", ["fifo", *ENDLESS])
def test_so_is_what_answers_are_asked_for(endless: Path, name: str) -> None:
    with pytest.raises(DataError, match="no regular file"), open(os.devnull, "rb") as stdin:
        read_inputs([str(endless / name)], COLUMNS, "auto", stdin)


def test_a_study_that_never_ends_is_cut_off() -> None:
    with pytest.raises(ConfigError, match="larger than 10,000,000 bytes"):
        load_study(Path("/dev/zero"))


def test_aliases_of_long_texts_are_counted_by_their_characters() -> None:
    text = f"a: &a {'x' * 1000}\nb: [{', '.join(['*a'] * 20_000)}]\n"
    with pytest.raises(ConfigError, match="more than 10000000 characters"):
        load_yaml(text, where="s.yaml")
