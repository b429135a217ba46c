"""The run's folder: what is written where, whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bakeoff.config import differences, dump_yaml, load_yaml
from bakeoff.errors import ConfigError, StoreError
from bakeoff.runs.lock import HOLDER_FILE, LOCK_FILE, locked

STUDY_FILE = "study.yaml"
INPUTS_FILE = "inputs.json"
RESULTS_FILE = "results.json"
SEARCH_FILE = "study.db"
EXAMPLES_FILE = "examples.jsonl"
_PART = ".part"
_ID_KEY = "run"
_FOLDERS_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
# These decide how a run goes, but not what it finds, and may differ between its calls.
_FREE_KEYS = frozenset({"checkpoint_minutes", "track"})


class RunFolder:
    """One study's folder of results.

    Attributes:
        path: the folder. resolved: the study as a plain mapping.
        is_anew: whether an earlier run was put aside for it.
    """

    def __init__(self, path: Path, resolved: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Opens or makes the folder and checks that it is this study's.

        Args:
            path: the folder.
            resolved: the study with every default written out.
            fresh: puts an earlier run aside, under a name with the time, and starts anew.

        Raises:
            StoreError: if the folder holds another study, or something else, or cannot be written.
        """
        path = path.resolve() if fresh else path  # "." has no name to put aside
        self.path = path
        self.resolved = resolved
        with disk_errors(path):
            if path.exists() and not path.is_dir():
                raise StoreError(f"{path}: is a file; give another folder with --out")
            known = path / STUDY_FILE
            self.is_anew = fresh and known.exists()
            if self.is_anew:
                stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
                (path / HOLDER_FILE).unlink(missing_ok=True)
                aside = path.with_name(f"{path.name}.before-{stamp}")
                number = 1
                while aside.exists():
                    number += 1
                    aside = path.with_name(f"{path.name}.before-{stamp}-{number}")
                path.rename(aside)
            if known.exists():
                self._check(known)
            elif _holds_files(path):
                raise StoreError(
                    f"{path}: holds files but no {STUDY_FILE}, so it is no run's folder; give an "
                    "empty or new folder with --out"
                )
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass

    def claim(self, inputs: Mapping[str, str]) -> None:
        """Makes the folder this study's: only once its input has proved to be good.

        A study that was refused leaves nothing behind that would refuse the mended one.

        Args:
            inputs: a hash of each thing that the study reads, such as its base and its data.

        Raises:
            StoreError: if what an earlier call kept was made from other inputs.
        """
        before = self.read_json(INPUTS_FILE)
        if isinstance(before, dict):
            changed = [name for name, value in inputs.items() if before.get(name) != value]
            if changed:
                raise StoreError(
                    f"{self.path}: the {' and the '.join(changed)} changed since this run began, "
                    "so its results would not go together; restore what was there, give "
                    "another folder with --out, or put the earlier run aside with --fresh"
                )
            return
        self.write_json(INPUTS_FILE, {**inputs, _ID_KEY: uuid.uuid4().hex})
        if not (self.path / STUDY_FILE).exists():
            self.write_text(STUDY_FILE, dump_yaml(dict(self.resolved)))

    def sweep(self) -> None:
        """Removes what killed processes left half written; only for who holds the folder."""
        with disk_errors(self.path):
            for entry in sorted(self.path.rglob(f".*{_PART}"), reverse=True):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)

    @property
    def run_id(self) -> str:
        """What tells this run from every other; known once the folder is claimed."""
        inputs = self.read_json(INPUTS_FILE)
        return str(inputs.get(_ID_KEY, "")) if isinstance(inputs, dict) else ""

    def _check(self, known: Path) -> None:
        try:
            before = load_yaml(known.read_text(encoding="utf-8"), where=str(known))
        except (ConfigError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{known}: cannot be read back ({error}); give another folder with --out, or start "
                "anew with --fresh"
            ) from None
        changed = differences(*(_without_free_keys(tree) for tree in (before, self.resolved)))
        orders = [", ".join(tree.get("methods") or ()) for tree in (before, self.resolved)]
        if not changed and orders[0] != orders[1]:
            # Slots, and draws of the comparisons, go by it.
            changed = [f"methods, their order: {orders[0]} and {orders[1]}"]
        if changed:
            shown = "\n  ".join(changed[:12])
            raise StoreError(
                f"{self.path}: holds the results of another study. These keys differ (there and "
                f"here):\n  {shown}\nGive another folder with --out or another name, or put the "
                "earlier run aside with --fresh"
            )

    def write_text(self, name: str, text: str) -> None:
        """Writes a file beside its place and renames it, so that it is never half there."""
        target = self.path / name
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=_PART)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(beside, 0o644)
                os.replace(beside, target)
                sync(target.parent)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise

    def write_json(self, name: str, content: Any) -> None:
        """Writes JSON; numbers that are not finite become null."""
        text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes JSON lines."""
        lines = [json.dumps(finite(row), ensure_ascii=False, allow_nan=False) for row in rows]
        self.write_text(name, "".join(line + "\n" for line in lines))

    def read_json(self, name: str) -> Any | None:
        """The content of a JSON file, or None where it is missing or torn."""
        return read_json(self.path / name)

    def read_lines(self, name: str) -> list[dict[str, Any]] | None:
        """The rows of a JSON-lines file, or None where it is missing or torn."""
        try:
            text = (self.path / name).read_text(encoding="utf-8")
            return [json.loads(line) for line in text.split("\n") if line]
        except (OSError, ValueError):
            return None

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A folder that appears under ``name`` only when the context ends well."""
        target = self.path / name
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".", suffix=_PART))
            try:
                yield beside
                if target.exists():
                    shutil.rmtree(target)
                os.chmod(beside, 0o755)
                for file in beside.rglob("*"):
                    sync(file)
                sync(beside)
                os.replace(beside, target)
                sync(target.parent)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise


def read_json(path: Path) -> Any | None:
    """The content of a JSON file, or None where it is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def open_run(
    path: Path, resolved: Mapping[str, Any], *, fresh: bool = False
) -> Iterator[RunFolder]:
    """A run's folder, held by this process alone; see ``RunFolder``.

    Raises:
        StoreError: if another process holds it, and as ``RunFolder`` does.
    """
    path = path.resolve() if fresh else path
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path}: is a file; give another folder with --out")
    with ExitStack() as stack:
        stack.enter_context(locked(path, keeps=STUDY_FILE))
        folder = RunFolder(path, resolved, fresh=fresh)
        if folder.is_anew:  # the earlier run was put aside, and its lock with it
            stack.enter_context(locked(path, keeps=STUDY_FILE))
        yield folder


def _without_free_keys(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if key not in _FREE_KEYS}


def _holds_files(path: Path) -> bool:
    """Whether a folder holds more than a lock and what a killed run left half written."""
    return path.is_dir() and any(
        entry.suffix != _PART and entry.name not in (LOCK_FILE, HOLDER_FILE)
        for entry in path.iterdir()
    )


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns the operating system's refusals into errors with a remedy."""
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


def sync(path: Path) -> None:
    """Makes what was written to a file, or renamed in a folder, last.

    Not every system can open or sync a folder for that.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir() or error.errno not in _FOLDERS_CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def finite(content: Any) -> Any:
    """The same content with null for every number that is not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return content


def folder_bytes(path: Path) -> int:
    """Bytes of all files below ``path``."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
