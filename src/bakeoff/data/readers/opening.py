"""The one place that opens files of text: plain, gzip or zstd, checked at their first bytes."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from bakeoff.errors import DataError

PACKED: Final = {".gz": "gzip", ".zst": "zstd"}
"""Endings of packed files, by what packs them."""
SAVE_AS_UTF_8: Final = "Save the file as UTF-8, such as with iconv -f cp1252 -t utf-8"
"""What to do about a table in another encoding."""
_CHUNK: Final = 1 << 20
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def unpacked_name(path: Path) -> str:
    """A file's name in small letters, without the ending that says how it is packed."""
    name = path.name.lower()
    return next((name.removesuffix(end) for end in PACKED if name.endswith(end)), name)


def check_regular(path: Path) -> None:
    """Refuses what may never end: a FIFO, a device or a socket, also behind a link.

    Raises:
        DataError: naming the path and what may be given instead.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(
            f"task.source: {path} is no regular file (a FIFO, a device or a socket), so that it "
            "may never end. Save the rows as a file, or give - and pipe them in."
        )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's unpacked bytes, which are there in whole or end in an error.

    Raises:
        DataError: the file is empty, or is UTF-16.
        OSError, EOFError, zlib.error: it cannot be read, or is torn; see ``file_errors``.
    """
    with _stream(path) as stream:
        start = stream.peek(2)[:2]  # type: ignore[attr-defined]
        if not start:
            raise DataError(f"task.source: {path} is empty. Give a file with at least one row.")
        if start in _UTF_16:
            raise DataError(f"task.source: {path} is UTF-16. Save it as UTF-8.")
        try:
            yield stream
        except GeneratorExit:
            # Who takes only the first rows must know that they are sound: the checksum is at the
            # end.
            while path.suffix.lower() in PACKED and stream.read(_CHUNK):
                pass
            raise


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turns what the system and the packers say into errors that name the file.

    Raises:
        DataError: the file cannot be read, or is torn.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"task.source: {path} is not a whole gzip file ({error}). Fetch or pack it again."
        ) from error
    except _TornZstdError as error:
        raise DataError(
            f"task.source: {path} is not a whole zstd file ({error}). Fetch or pack it again."
        ) from error
    except OSError as error:
        raise DataError(
            f"task.source: {path} cannot be read: {error.strerror or error}. Check the path and "
            "its permissions."
        ) from error


class _TornZstdError(Exception):
    """What pyarrow says of a file that it cannot unpack."""


class _Zstd(io.RawIOBase):
    """A zstd file of any number of frames, unpacked by pyarrow."""

    def __init__(self, path: Path) -> None:
        import pyarrow

        path.open("rb").close()  # the system's own words, where it cannot be opened
        self._stream: Any = pyarrow.input_stream(str(path), compression="zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except OSError as error:
            raise _TornZstdError(str(error)) from error
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _stream(path: Path) -> BinaryIO:
    match path.suffix.lower():
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        case ".zst":
            return cast(BinaryIO, io.BufferedReader(_Zstd(path), 1 << 16))
        case _:
            return path.open("rb")
