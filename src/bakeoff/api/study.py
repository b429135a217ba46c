"""A study as Python users make it: the keys of a study's file, and data in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bakeoff.config import apply_overrides, dump_yaml
from bakeoff.data.given import GivenRows, given_rows, is_reference
from bakeoff.data.sources import STDIN
from bakeoff.data.sources.stdin import rows_of_stdin
from bakeoff.errors import ConfigError
from bakeoff.runs.folder import DATA_FOLDER
from bakeoff.study import loading
from bakeoff.study.study import Study as CheckedStudy
from bakeoff.tasks.contract import columns_to_keep

_PLACEHOLDER = "rows"


class Study:
    """A base, a task, a protocol and methods, checked; see ``run``.

    Everything that a study's file holds is given by the same keys. ``task["source"]`` may name data
    as there, or be them: a DataFrame, a ``datasets.Dataset`` or a list of mappings (split by a hash
    of each row's input), or a mapping from ``train``, ``validation`` and ``test`` to one of these,
    such as a ``datasets.DatasetDict``, or be "-", the standard input. Rows in memory are copied
    when the study is made, and are kept with the results.

        study = bakeoff.Study(
            name="reviews",
            base="tiny",
            task={"kind": "classify", "source": frames, "text": "words", "label": "side"},
            protocol={"epochs": 3, "seeds": [0, 1, 2]},
            methods={"lora": {"rank": 8}, "head": {}},
        )
    """

    _place: Path | None = None
    _rows: GivenRows | None = None

    def __init__(
        self,
        *,
        name: str,
        base: str | None = None,
        task: Mapping[str, Any],
        methods: Mapping[str, Mapping[str, Any]],
        protocol: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Checks everything but the data's rows and the base.

        Args:
            name: names the results' folder. base: hub id, folder, ``tiny``, ``scratch:...``;
                instead of it ``bases`` may name several.
            task: its ``kind``, where its data come from, and what is made of them.
            methods: for each name a ``kind`` (the name, without), a ``learning_rate`` (its
                published default, without) and the method's options.
            protocol: how every candidate is trained.
            others: further keys of a study's file: ``search``, ``decision``, ``generation``,
                ``slots``, ``engine``, ``precision``, ...

        Raises:
            ConfigError: for anything that breaks a rule, by its path.
            DataError: rows in memory that lack a split or a column, or that JSON cannot hold.
        """
        mapping: dict[str, Any] = {"name": name, "task": task, "methods": methods}
        if base is not None:
            mapping["base"] = base
        if protocol is not None:
            mapping["protocol"] = protocol
        self._begin({**mapping, **others}, folder=Path.cwd())

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        overrides: Sequence[str] = (),
        *,
        seeds: int | None = None,
    ) -> Self:
        """A study from its file.

        Args:
            path: of the YAML file, or of a run's folder that holds one; None is the embedded demo.
            overrides: ``protocol.epochs=3`` and the like, as ``--set`` takes them.
            seeds: the number of seeds of each method, whatever the study says.

        Raises:
            ConfigError: for anything that breaks a rule, by its path.
        """
        place = None if path is None else Path(path)
        self = cls.__new__(cls)
        self._loaded = loading.load_study(place, overrides, seeds=seeds)
        is_piped = self._loaded.task.options.source == STDIN
        self._rows = rows_of_stdin() if is_piped else None
        if place is not None and place.is_dir():
            self._place = place
        return self

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        *,
        folder: str | Path = ".",
        overrides: Sequence[str] = (),
        seeds: int | None = None,
    ) -> Self:
        """A study from the keys of its file; see ``__init__``.

        Args:
            overrides, seeds: as of ``load``.
            folder: where a relative source or base is looked for that is not in the working
                directory.
        """
        self = cls.__new__(cls)
        changed = apply_overrides(mapping, overrides) if overrides else dict(mapping)
        if seeds is not None:
            changed = apply_overrides(changed, [f"protocol.seeds={seeds}"])
        self._begin(changed, folder=Path(folder))
        return self

    def with_overrides(self, overrides: Sequence[str]) -> Study:
        """The study with some of its keys changed; its data in memory are the same.

        Args:
            overrides: ``protocol.epochs=3`` and the like.
        """
        changed = Study.__new__(Study)
        changed._place, changed._rows = self._place, self._rows
        changed._loaded = loading.study_from_mapping(
            self._loaded.resolved, overrides, folder=self._loaded.root
        )
        return changed

    def _begin(self, mapping: dict[str, Any], *, folder: Path) -> None:
        task, source = mapping.get("task"), None
        if isinstance(task, Mapping) and "source" in task and not is_reference(task["source"]):
            source = task["source"]
            if source is None:
                raise ConfigError("task.source is None: give rows, or name data")
            mapping["task"] = {**task, "source": _PLACEHOLDER}
        self._loaded = loading.study_from_mapping(mapping, folder=folder)
        loading.check_judged_against(self._loaded)
        if source is not None:
            self._rows = _rows_of(source, self._loaded)
        elif self._loaded.task.options.source == STDIN:
            self._rows = rows_of_stdin()

    @property
    def name(self) -> str:
        """Names the results' folder."""
        return self._loaded.options.name

    @property
    def place(self) -> Path:
        """Where its results go: the run's folder that it was loaded from, else ``runs/NAME``."""
        return self._place or Path("runs") / self.name

    @property
    def is_crossed(self) -> bool:
        """Whether its methods are crossed with ``bases`` or ``templates``."""
        return self._loaded.crossing is not None

    @property
    def rows(self) -> GivenRows | None:
        """The data in memory; None where the source names data."""
        return self._rows

    def at(self, place: Path) -> CheckedStudy:
        """The study as the runner takes it, with its rows below a run's folder.

        Args:
            place: the run's folder; rows in memory have still to be written to ``place/data``.
        """
        if self._rows is None:
            return self._loaded
        return self._loaded.with_source(self._rows.source(place / DATA_FOLDER))

    def to_yaml(self) -> str:
        """The study with every default written out, as its file; data in memory by their hash."""
        return dump_yaml(self.at(Path(self.name)).resolved)

    def __repr__(self) -> str:
        found = self._loaded.options
        kind = self._loaded.task.kind
        bases = found.base if found.bases is None else " and ".join(found.bases)
        return f"Study({found.name!r}: {kind} with {bases}; {', '.join(found.methods)})"


def _rows_of(source: object, study: CheckedStudy) -> GivenRows:
    """Rows in memory, with what the study reads of them in any of its cells."""
    cells = () if study.crossing is None else study.crossing.cells
    tasks = [cell.study.task for cell in cells] or [study.task]
    columns: dict[str, str] = {}
    for task in tasks:
        columns |= columns_to_keep(task)
    return given_rows(source, columns, whole=any(task.reads_whole_rows for task in tasks))


def study_of(study: Study | Mapping[str, Any] | str | Path) -> Study:
    """A study, however it was given: made, as a mapping of its keys, or as the path of its file.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        return Study.from_mapping(study)
    if isinstance(study, str | Path):
        return Study.load(study)
    raise ConfigError(
        f"study is of the type {type(study).__name__}: give a bakeoff.Study, a mapping of its "
        "keys, or the path of its file"
    )
