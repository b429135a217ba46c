"""What is written is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bakeoff.errors import StoreError
from bakeoff.files import (
    PART,
    disk_errors,
    folder_bytes,
    new_file,
    new_folder,
    remove_parts,
    sha256_of,
    write_bytes,
)


def test_a_file_appears_whole_with_readable_rights(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with new_file(target) as beside:
        beside.write_bytes(b"abc")
        assert not target.exists()
        assert beside.name.startswith(".") and beside.name.endswith(PART)
    assert target.read_bytes() == b"abc"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in target.parent.iterdir()] == ["file"]


def test_a_failure_leaves_what_was_there_before(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"before")
    with pytest.raises(KeyError), new_file(target) as beside:
        beside.write_bytes(b"half")
        raise KeyError
    assert target.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("existing", ["replace", "keep", "refuse"])
def test_a_folder_that_is_there_is_replaced_kept_or_refused(tmp_path: Path, existing: str) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_bytes(b"o")

    def fill() -> None:
        with new_folder(target, existing=existing) as beside:  # type: ignore[arg-type]
            (beside / "new").write_bytes(b"n")

    if existing == "refuse":
        with pytest.raises(FileExistsError):
            fill()
    else:
        fill()
    expected = {"replace": ["new"], "keep": ["old"], "refuse": ["old"]}[existing]
    assert [entry.name for entry in target.iterdir()] == expected
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / f".x{PART}").write_bytes(b"half")
    (tmp_path / f".folder{PART}").mkdir()
    (tmp_path / f".folder{PART}" / "file").write_bytes(b"half")
    (tmp_path / f"visible{PART}").write_bytes(b"whole")
    remove_parts(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["sub", f"visible{PART}"]
    assert folder_bytes(tmp_path) == 5


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_of(tmp_path / "a") == empty


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "free some space"),
        (RuntimeError("io: No space left on device (os error 28)"), "free some space"),
        (OSError(errno.EACCES, "Permission denied"), "can be written with --out"),
    ],
)
def test_what_the_system_refuses_has_a_place_and_a_remedy(
    error: Exception, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=remedy) as caught, disk_errors(tmp_path / "place"):
        raise error
    assert str(caught.value).startswith(f"{tmp_path / 'place'}: cannot be written")


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError
