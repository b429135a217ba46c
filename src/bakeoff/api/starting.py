"""A study from data alone: ``bakeoff.init``, and what ``bakeoff run --data`` goes by."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bakeoff.api.study import Study
from bakeoff.config import load_yaml
from bakeoff.data.given import GivenRows, given_rows, is_reference
from bakeoff.data.readers import OptionalColumn
from bakeoff.data.sources import STDIN, is_there, renamed
from bakeoff.data.sources.stdin import rows_of_stdin
from bakeoff.errors import ConfigError, DataError, StoreError
from bakeoff.files import disk_errors, write_bytes
from bakeoff.first_contact.names import name_of
from bakeoff.runs.folder import DATA_FOLDER, STUDY_FILE
from bakeoff.study.locating import RESERVED

if TYPE_CHECKING:
    from bakeoff.first_contact.drafting import Draft

Data = Path | str | list[str] | dict[str, str | list[str]] | GivenRows
_PIPED: Final = "the standard input"
_PIPED_NAME: Final = "stdin"


def init(
    data: Any,
    *,
    base: str | None = None,
    kind: str | None = None,
    methods: Sequence[str] = (),
    out: str | Path | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Study:
    """Looks at data and makes a study of them, ready for ``run``; see ``bakeoff init``.

    Args:
        data: a file or a folder of splits, a pattern, a list of files, a mapping from split to
            files; or "-", the standard input; or rows in memory, as ``Study`` takes them.
        base: as in a study; ``smollm2-135m`` without.
        kind: of the task (``classify``, ``choose``, ``summarize``, ``complete``, ``chat``,
            ``text``); guessed without.
        methods: kinds of methods; LoRA and a soft prompt without.
        out: also writes the study there, with comments that say why; only for data in files.
        report: called with each line of what was guessed and why.

    Raises:
        ConfigError: no such kind or method, or ``out`` exists.
        DataError: the data cannot be read, or learnt from.
        BaseModelError: the base is not here.
    """
    from bakeoff.first_contact.writing import shown

    drafted = partial(draft_of, base=base, kind=kind, methods=methods)
    if isinstance(data, str) and data == STDIN:
        data = rows_of_stdin()
    if is_reference(data) or isinstance(data, GivenRows):
        draft = drafted(data)
        study = Study.from_mapping(draft.mapping)
        if out is not None:
            write_study(draft, Path(out))
    elif out is not None:
        raise ConfigError(
            f"out = {str(out)!r}: a study of rows in memory has no file; save the rows, or leave "
            "out away and run what init returns"
        )
    else:
        rows = given_rows(data, _columns_of(data))
        draft = drafted(rows)
        task = {**draft.mapping["task"], "source": data}
        study = Study.from_mapping({**draft.mapping, "name": "rows", "task": task})
    for line in shown(draft):
        report(line)
    return study


def draft_of(
    data: Data,
    *,
    base: str | None = None,
    kind: str | None = None,
    methods: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> Draft:
    """A draft of a study of data in files, or of given rows, which are its source; see ``init``."""
    # Heavy, as tokens are counted.
    from bakeoff.first_contact.drafting import draft_study

    drafted = partial(draft_study, base=base, kind=kind, methods=methods, report=report)
    if not isinstance(data, GivenRows):
        return drafted(data)
    with tempfile.TemporaryDirectory() as folder:
        place = str(_place_of(data, Path(folder)))
        try:
            draft = drafted(place)
        except DataError as error:
            raise DataError(str(error).replace(place, _PIPED)) from error
    draft.mapping["name"] = _PIPED_NAME
    draft.mapping["task"] = {**draft.mapping["task"], "source": data}
    return draft


def data_of(given: Sequence[str]) -> Data:
    """What the command line names as data.

    Args:
        given: paths and patterns; or ``-`` alone, the standard input, which is read; or a list or a
            mapping from split to files in YAML.

    Raises:
        ConfigError: ``-`` beside others.
        DataError: the standard input is empty or a terminal.
    """
    if STDIN in given:
        if len(given) > 1:
            raise ConfigError(
                f"{STDIN}: the standard input is one table; give it alone, or name files alone"
            )
        return rows_of_stdin()
    if len(given) > 1:
        return list(given)
    [only] = given
    if only[:1] in ("{", "[") and not Path(only).exists():
        found = load_yaml(f"source: {only}", where=f"DATA {only}")["source"]
        if is_reference(found):
            return cast(Data, found)
    return only


def write_study(draft: Draft, out: Path) -> str:
    """Writes a draft as a study's file.

    Its source is a path that is found from the file's folder as well as from here; rows of the
    standard input are written beside it, below ``data``.

    Args:
        draft: of the study. out: the file, which must not exist.

    Returns:
        The command that runs it.

    Raises:
        ConfigError: there is something at ``out``.
        StoreError: it cannot be written.
    """
    from bakeoff.first_contact.writing import study_text

    check_new(out)
    command = f"bakeoff run {out}"
    task = draft.mapping["task"]
    source = task["source"]
    if isinstance(source, GivenRows):
        source = str(_place_of(source, out.parent / DATA_FOLDER))
    located = renamed(source, lambda name: _source_from(out.parent, str(name)))
    draft.mapping["task"] = {**task, "source": located}
    with disk_errors(out):
        write_bytes(out, study_text(draft, command=command).encode("utf-8"))
    return command


def check_new(out: Path) -> None:
    """Raises ConfigError where something is at ``out``: a study may have been worked on."""
    if out.exists():
        raise ConfigError(f"{out}: exists already; give another file with --out, or remove it")


def study_made_before(
    data: Data,
    out: Path | None,
    *,
    base: str | None,
    kind: str | None,
    methods: Sequence[str] = (),
) -> Path | None:
    """The run's folder whose study was made of these data with these options, if there is one.

    Args:
        data: as of ``draft_of``. out: the run's folder; that of the study's name without.
        base, kind, methods: as of ``init``; what is None or empty may be anything.

    Raises:
        StoreError: the folder's study cannot be read back.
    """
    name = _PIPED_NAME if isinstance(data, GivenRows) else name_of(data)
    place = out or Path("runs") / name
    file = place / STUDY_FILE
    if not file.is_file():
        return None
    found = _read_back(file)
    task, source = found.get("task", {}), found.get("task", {}).get("source")
    if isinstance(data, GivenRows):
        is_same = isinstance(source, str) and data.name in Path(source).parts
    elif isinstance(data, str | Path):
        # A folder that lacks splits stands for the files in it.
        first = Path(str(source[0] if isinstance(source, list) and source else source)).resolve()
        is_same = Path(data).resolve() in (first, first.parent)
    else:
        is_same = _resolved(data) == _resolved(source)
    as_asked = (
        base in (None, found.get("base"))
        and kind in (None, task.get("kind"))
        and (not methods or list(methods) == list(found.get("methods", {})))
    )
    return place if is_same and as_asked else None


def _read_back(file: Path) -> dict[str, Any]:
    """The study in a run's folder.

    Raises:
        StoreError: it is no UTF-8, no YAML, or no study.
    """
    try:
        found = load_yaml(file.read_text(encoding="utf-8"), where=str(file))
        for key in ("task", "methods"):
            if not isinstance(found.get(key, {}), dict):
                raise ConfigError(f"{key}: {found[key]!r} is no mapping of keys to values")
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{file}: cannot be read back ({error}); restore it, give another folder with --out, "
            "or put the earlier run aside with --fresh"
        ) from None
    return found


def _resolved(source: Any) -> Any:
    return renamed(source, lambda name: str(Path(str(name)).resolve()))


def _source_from(folder: Path, source: str) -> str:
    """A path or pattern that names the same data from here and from a study's folder.

    It is relative where the data lie below that folder and nothing else is called so from here,
    since a study's source is looked for in the working directory first.
    """
    path = Path(source).expanduser()
    here, there = path.absolute(), folder.absolute()
    if not path.is_absolute() and Path.cwd() == there:
        relative = source
    elif here.is_relative_to(there):
        relative = str(here.relative_to(there))
        means_another = (
            is_there(relative, Path.cwd()) and Path(relative).resolve() != here.resolve()
        )
        # Of dots alone no study looks in its own folder.
        if means_another or not relative.strip("./"):
            return str(here)
    else:
        return str(here)
    is_bare = os.sep not in relative and (relative in RESERVED or not Path(relative).suffix)
    return f"./{relative}" if is_bare else relative


def _columns_of(data: Any) -> dict[str, str]:
    """Every column of rows in memory."""
    tables = list(data.values()) if isinstance(data, Mapping) else [data]
    names: dict[str, None] = {}
    for table in tables:
        listed = getattr(table, "column_names", None)
        if listed is None and hasattr(table, "columns"):
            listed = list(table.columns)
        if listed is None and isinstance(table, list | tuple):
            listed = [name for row in table if isinstance(row, Mapping) for name in row]
        names |= dict.fromkeys(map(str, listed or ()))
    if not names:
        raise DataError(
            "data: names no columns; give a file, a folder, a DataFrame, a datasets.Dataset, a "
            "list of mappings, or a mapping from train, validation and test to one of these"
        )
    return {name: OptionalColumn(name) for name in names}


def _place_of(rows: GivenRows, folder: Path) -> Path:
    place = rows.write(folder)
    return place / next(iter(rows.files)) if rows.is_whole else place
