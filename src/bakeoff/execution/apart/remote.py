"""A folder at an address: where workers that share no file system leave what they make.

Any address that fsspec knows will do (``file://``, ``s3://``, ``gs://``, ``memory://``). Nothing is
locked and nothing renamed: each try of a job has a folder that one worker writes, a file is written
once, and what says that others are whole, ``outcome.json``, is written last and has their hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.apart.exchange import OUTCOME_FILE
from bakeoff.files import PART, write_bytes
from bakeoff.runs.records import FileRecord

_INPUTS: Final = "inputs"
_SEEN: Final = "seen"
_CHANGING: Final = (OUTCOME_FILE, "record.json", "events.jsonl", "notes.json", "metrics.jsonl")
"""Files whose name stays where their content changes; those of states hold their checksum."""
_OBJECT_STORES: Final = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss"}
)
"""Kinds of address that have no folders: a key is written as it is."""


class RemoteFiles:
    """The files of one run at an address.

    Args:
        address: of a folder, as fsspec has it. run_id: the run's, whose files are below it.

    Raises:
        ConfigError: no library knows such addresses, or the folder cannot be reached.
    """

    def __init__(self, address: str, run_id: str) -> None:
        import fsspec

        self.address, self.run_id = address, run_id
        try:
            self._system, path = fsspec.core.url_to_fs(address)
            kinds = self._system.protocol
            self._has_folders = _OBJECT_STORES.isdisjoint(
                (kinds,) if isinstance(kinds, str) else kinds
            )
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"execution.files: {address} cannot be opened ({error}); install the library that "
                "its kind of address needs, such as s3fs for s3://, or give another address"
            ) from None
        self._root = f"{path.rstrip('/')}/{run_id}"

    def check(self) -> None:
        """Writes and reads a small file.

        Raises:
            StoreError: that does not work.
        """
        try:
            self._write(f"{self._root}/{_SEEN}/check", b"bakeoff")
            content = self._system.cat_file(f"{self._root}/{_SEEN}/check")
        except Exception as error:  # each kind of address has errors of its own
            raise StoreError(
                f"execution.files: {self.address} cannot be written ({error}); give an address "
                "that this machine and all workers can write"
            ) from error
        if content != b"bakeoff":
            raise StoreError(
                f"execution.files: {self.address} gives back other bytes than were written; give "
                "another address"
            )

    def show(self, token: str) -> None:
        """Writes a small file that says who wrote it; see ``shows``."""
        self._write(f"{self._root}/{_SEEN}/{token}", token.encode())

    def shows(self, token: str) -> bool:
        """Whether the file is there; errors are those of the address."""
        content: Any = self._system.cat_file(f"{self._root}/{_SEEN}/{token}")
        return bool(content == token.encode())

    def offer(self, run: Path, files: Mapping[str, FileRecord]) -> None:
        """Puts files of the run where workers find them, each content once."""
        for name, record in files.items():
            target = f"{self._root}/{_INPUTS}/{record.sha256}"
            if not self._system.exists(target):
                self._write(target, (run / name).read_bytes())

    def take(self, run: Path, files: Mapping[str, FileRecord]) -> None:
        """Brings offered files to a folder, under their names."""
        for name, record in files.items():
            content = self._system.cat_file(f"{self._root}/{_INPUTS}/{record.sha256}")
            write_bytes(run / name, content)

    def push(self, place: Path, cohort: str) -> None:
        """Copies what is new in the folder of a try; what says that the rest is whole goes last.

        Args:
            place: the folder. cohort: the job's.
        """
        target = f"{self._root}/{cohort}/{place.name}"
        files = [file for file in place.rglob("*") if file.is_file() and PART not in str(file)]
        for file in sorted(files, key=lambda one: (one.name == OUTCOME_FILE, str(one))):
            name = f"{target}/{file.relative_to(place).as_posix()}"
            try:
                if file.name not in _CHANGING and self._size(name) == file.stat().st_size:
                    continue
                self._write(name, file.read_bytes())
            except FileNotFoundError:
                continue  # removed meanwhile, as an older checkpoint is

    def pull(self, folder: Path, cohort: str) -> None:
        """Copies the tries of a job to ``folder``, each file that is not there or has changed."""
        source = f"{self._root}/{cohort}"
        if not self._system.exists(source):
            return
        for name in self._system.find(source):
            inside = str(name).partition(f"{self.run_id}/{cohort}/")[2]
            parts = Path(inside).parts
            if not parts or ".." in parts:
                continue
            target = folder / inside
            is_there = target.is_file() and target.stat().st_size == self._size(name)
            if not is_there or target.name in _CHANGING:
                write_bytes(target, self._system.cat_file(name))

    def forget(self, cohort: str) -> None:
        """Removes the tries of a job whose outcome was taken."""
        source = f"{self._root}/{cohort}"
        if self._system.exists(source):
            self._system.rm(source, recursive=True)

    def tidy(self) -> None:
        """Removes what a driver has put there; tries of jobs that are not over stay."""
        self._system.invalidate_cache()
        for name in (_INPUTS, _SEEN):
            place = f"{self._root}/{name}"
            if self._system.exists(place):
                self._system.rm(place, recursive=True)
        self._system.invalidate_cache()
        if not self._system.exists(self._root) or not self._system.find(self._root):
            self.clear()

    def clear(self) -> None:
        """Removes all of the run's files."""
        if self._system.exists(self._root):
            self._system.rm(self._root, recursive=True)

    def _size(self, name: str) -> int | None:
        try:
            found: Any = self._system.size(name)
        except (OSError, FileNotFoundError):
            return None
        return int(found) if found is not None else None

    def _write(self, name: str, content: bytes) -> None:
        if self._has_folders:  # an object store would make a bucket whose name is misspelt
            self._system.makedirs(name.rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(name, content)
