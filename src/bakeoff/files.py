"""Files and folders that are there whole or not at all: the one place that writes them.

Whatever is written is made beside its place, flushed to the disk and renamed. A process that is
killed leaves a hidden entry that ends with ``PART``, which the folder's owner may remove.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from bakeoff.errors import StoreError

PART: Final = ".part"
"""Ends the name of what is being written; such names begin with a dot."""
_FOLDERS_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
# Windows syncs only what may be written, and opens no folder.
_TO_SYNC: Final = os.O_RDWR if os.name == "nt" else os.O_RDONLY


_HELD: Final[dict[Path, tuple[int, int]]] = {}
"""Device and number of each folder that must stay where it is, by its absolute path."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """While it is entered, nothing is written below a folder that is no longer this one.

    Args:
        folder: that is there.
    """
    place = folder.absolute()
    before, now = _HELD.get(place), place.stat()
    _HELD[place] = (now.st_dev, now.st_ino)
    try:
        yield
    finally:
        if before is None:
            del _HELD[place]
        else:
            _HELD[place] = before


def check_held(target: Path) -> None:
    """Looks, before something is made, whether the held folder that it is below is still the same.

    Raises:
        StoreError: it was renamed, removed or replaced. Making it again would split a run in two.
    """
    for folder, known in _HELD.items():
        if target.absolute().is_relative_to(folder):
            try:
                now = folder.stat()
            except OSError:
                now = None
            if now is None or (now.st_dev, now.st_ino) != known:
                raise StoreError(
                    f"{folder}: was {'renamed or removed' if now is None else 'replaced'} while a "
                    "study ran in it, so that nothing more is written; put it back under this "
                    "name, and the same command goes on"
                )


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A file that appears at ``target`` only when the context ends well.

    Yields:
        An empty file beside it, to be written.

    Raises:
        OSError: it cannot be written; what was at ``target`` before stays.
    """
    check_held(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=PART)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)
        os.replace(beside, target)
        sync(target.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_text(path: Path, most: int) -> str:
    """A regular file of UTF-8 that is not endless.

    Args:
        most: bytes.

    Raises:
        OSError: it is not there, or is a FIFO, a device or a socket, which may never end.
        ValueError: it is larger, or no UTF-8.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "no regular file, so that it may never end")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes, which is the limit")
    return content.decode("utf-8")


def write_bytes(target: Path, content: bytes) -> None:
    """Writes a file whole or not at all; see ``new_file``."""
    with new_file(target) as beside:
        beside.write_bytes(content)


@contextmanager
def new_folder(
    target: Path, *, existing: Literal["replace", "keep", "refuse"] = "replace"
) -> Iterator[Path]:
    """A folder that appears at ``target`` only when the context ends well.

    Args:
        target: its place.
        existing: what becomes of a folder that is there by then: it is replaced; or kept, since
            another process made the same; or ``FileExistsError`` is raised.

    Yields:
        An empty folder beside it, to be filled.
    """
    check_held(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".", suffix=PART))
    try:
        yield beside
        beside.chmod(0o755)
        for file in beside.rglob("*"):
            sync(file)
        sync(beside)
        if existing == "replace" and target.exists():
            shutil.rmtree(target)
        try:
            os.replace(beside, target)
        except OSError:
            if not target.exists():
                raise
            if existing == "refuse":
                raise FileExistsError(errno.EEXIST, "exists already", str(target)) from None
        sync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_parts(folder: Path) -> None:
    """Removes what killed processes left half written below a folder that this one holds."""
    for entry in sorted(folder.rglob(f".*{PART}"), reverse=True):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes what was written to a file, or renamed in a folder, last.

    Not every system can open or sync a folder for that.
    """
    try:
        handle = os.open(path, _TO_SYNC)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir() or error.errno not in _FOLDERS_CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Where prepared data and fetched or converted bases are kept: ``BAKEOFF_CACHE``, else the
    user's cache."""
    named = os.environ.get("BAKEOFF_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bakeoff"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(path: Path) -> int:
    """Bytes of all files below ``path``."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns the operating system's refusals into errors with a remedy.

    Raises:
        StoreError: naming the place and what to do.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        # Libraries written in Rust have errors of their own for what the system says.
        full = "No space left on device" in str(error)
        if isinstance(error, OSError):
            full = full or error.errno in (errno.ENOSPC, errno.EDQUOT)
        elif not full:
            raise
        remedy = (
            "the disk is full; free some space and run the same command again, which goes on "
            "where this run stopped"
            if full
            else "give a folder that can be written with --out"
        )
        said = getattr(error, "strerror", None) or error
        raise StoreError(f"{place}: cannot be written ({said}): {remedy}") from error
