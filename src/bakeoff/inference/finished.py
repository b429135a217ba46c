"""A run's folder read back: its study, its base and the candidates that it kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Final

from bakeoff.base.choice import BaseChoice
from bakeoff.base.model import Base
from bakeoff.config import load_yaml
from bakeoff.decide.representative import own_score, representative
from bakeoff.errors import CheckpointError, ConfigError, StoreError
from bakeoff.formatting import scale_of
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.entries import MethodEntry
from bakeoff.runs.folder import INPUTS_FILE, STUDY_FILE, damaged
from bakeoff.runs.hashes import changed_file
from bakeoff.runs.places import candidate_folder, cell_folder
from bakeoff.runs.reading import RESULTS_FILE, read_json, read_results
from bakeoff.runs.records import CandidateRecord, FileRecord, Results
from bakeoff.study.loading import recorded
from bakeoff.study.opening import choice_of, load_base
from bakeoff.study.study import Study
from bakeoff.study.without_code import TRUSTS, without_code
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare import with_found

_NOTHING_KEPT: Final = (
    "{path}: no candidate has left an adapter; finish the study with `bakeoff run`"
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A candidate that left an adapter.

    Attributes:
        adapter: the adapter's folder.
        files: the adapter's, as they were written, by path below the candidate's folder; none are
            known of a run of schema 1.
    """

    id: str
    method: Method
    adapter: Path
    files: Mapping[str, FileRecord]

    def load(self) -> Tensors:
        """The tensors of its best epoch.

        Raises:
            CheckpointError: if the adapter is not whole, or not as it was written.
        """
        fault = damaged(self.adapter.parent, self.files)
        if fault is not None:
            raise CheckpointError(f"{fault}; run the study again, which trains {self.id} again")
        return self.method.load(self.adapter)


class FinishedRun:
    """What a run has come to, complete or not; nothing in its folder is changed.

    Its folder may be a stranger's: functions that its study names as metrics are not loaded.

    Args:
        path: the run's folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust_remote_code: whether the code beside its base may run, where its study says so.

    Raises:
        StoreError: if the folder is not a run's, or its results cannot be read.

    Attributes:
        caution: that its results are not those that the run wrote, in words; None where they are.
    """

    def __init__(
        self, path: Path, device: str = "auto", *, trust_remote_code: bool = False
    ) -> None:
        self.path = path
        self.device = device
        self._trusts = trust_remote_code
        self._bases: dict[BaseChoice, Base] = {}
        self._cells: dict[str, FinishedRun] = {}
        study_file = path / STUDY_FILE
        try:
            mapping = load_yaml(study_file.read_text(encoding="utf-8"), where=str(study_file))
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{path}: holds no {STUDY_FILE} that can be read, so it is not a run's folder; "
                "give the folder that `bakeoff run` made"
            ) from error
        self._asks_trust = bool(mapping.get(TRUSTS)) and not trust_remote_code
        read = without_code(mapping)
        if trust_remote_code and TRUSTS in mapping:
            read[TRUSTS] = mapping[TRUSTS]
        self.study: Study = recorded(read, folder=path)
        self.results: Results = read_results(path)
        fault = changed_file(path, [RESULTS_FILE])
        self.caution = None if fault is None else f"{fault}; the same `bakeoff run` makes it again"
        self.task: Task = with_found(self.study.task, self.results.task.found)

    @cached_property
    def base(self) -> Base:
        """The study's base.

        Raises:
            ConfigError: if code beside it would run that is not trusted.
            StoreError: if its weights are not those that the candidates were trained over.
        """
        return self.base_of(choice_of(self.study))

    def share(self, base: Base, choice: BaseChoice) -> None:
        """Takes a held base that another run over the same one has loaded.

        Raises:
            ConfigError, StoreError: as of ``base``.
        """
        self._check_trust()
        self._bases[choice] = self._checked(base)

    def base_of(self, choice: BaseChoice) -> Base:
        """One of the bases that the study holds, loaded once.

        Raises:
            ConfigError, StoreError: as of ``base``.
        """
        if choice not in self._bases:
            self._check_trust()
            base = load_base(self.study, self.device, choice=choice)
            self._bases[choice] = self._checked(base)
        return self._bases[choice]

    def _check_trust(self) -> None:
        if self._asks_trust:  # without its code a base may be another model of the same weights
            raise ConfigError(
                f"{self.path}: the study's base {self.study.options.base} runs code that stands "
                "beside it (trust_remote_code: true), and reading a run does not run it unless "
                "you say so; read that code, then give --trust-remote-code, or "
                "trust_remote_code=True in Python"
            )

    def _checked(self, base: Base) -> Base:
        inputs = read_json(self.path / INPUTS_FILE)
        known = inputs.get("base") if isinstance(inputs, Mapping) else None
        if known is not None and known != base.source.fingerprint:
            raise StoreError(
                f"{self.path}: the base {self.study.options.base} has changed since this run "
                "began, so its candidates do not fit it; restore the base that was there"
            )
        return base

    def choice(self, candidate_id: str) -> BaseChoice:
        """The held base that one of the run's candidates was trained on.

        Raises:
            StoreError: the study has no method of the candidate's.
        """
        entry = self._entry(candidate_id, self.results.candidates[candidate_id])
        return choice_of(self.study, entry)

    @property
    def kept(self) -> dict[str, CandidateRecord]:
        """Candidates that left an adapter, by id."""
        return {
            name: record
            for name, record in self.results.candidates.items()
            if record.state.is_eligible and self._adapter(name).is_dir()
        }

    def of(self, candidates: Sequence[str | None], *, option: str = "--candidate") -> FinishedRun:
        """The run that trained these candidates: this one, or a cell of a crossed study.

        Args:
            candidates: their ids; None is the recommended method's.
            option: how the caller is given one, for errors.

        Raises:
            ConfigError: there is no such candidate, or they are of several bases or prompts.
        """
        if self.study.crossing is None:
            return self
        cells: dict[str | None, str] = {}
        for name in self.named(candidates, option=option):
            method = self.results.candidates[str(name)].method
            cells[self.results.methods[method].cell] = str(name)
        if len(cells) > 1:
            raise ConfigError(
                f"{option}: {' and '.join(cells.values())} are of different bases or prompts, "
                "which read rows in their own ways; ask for them one after the other"
            )
        [label] = cells
        return self.cell(str(label))

    def named(
        self, candidates: Sequence[str | None], *, option: str = "--candidate"
    ) -> list[str | None]:
        """Candidates of a crossed study by their ids, the recommended method's too.

        Raises:
            ConfigError: there is no such candidate.
        """
        if self.study.crossing is None:
            return list(candidates)
        kept = self.kept
        if not kept:
            raise ConfigError(_NOTHING_KEPT.format(path=self.path))
        found: list[str | None] = []
        for one in candidates:
            name = self._recommended(kept, option) if one is None else one
            if name not in kept:
                raise ConfigError(self._unknown(str(name), kept, option))
            found.append(name)
        return found

    def cell(self, label: str) -> FinishedRun:
        """One cell of a crossed study, as the run that it is."""
        if label not in self._cells:
            folder = cell_folder(self.path, self.results, label)
            self._cells[label] = FinishedRun(folder, self.device, trust_remote_code=self._trusts)
        return self._cells[label]

    def candidate(self, candidate_id: str | None = None, *, option: str = "--candidate") -> Kept:
        """One of the run's candidates.

        Args:
            candidate_id: its id; None takes the run of the recommended method that is nearest the
                mean of its runs.
            option: how the caller is given one, for errors.

        Raises:
            ConfigError: if there is none of that name, or it left no adapter.
        """
        kept = self.kept
        if not kept:
            raise ConfigError(_NOTHING_KEPT.format(path=self.path))
        if self.study.crossing is not None:
            [name] = self.named([candidate_id], option=option)
            return self.of([name], option=option).candidate(name, option=option)
        if candidate_id is None:
            candidate_id = self._recommended(kept, option)
        if not isinstance(candidate_id, str):
            raise ConfigError(f"{option} {candidate_id!r}: is no id; give one, as a text")
        if candidate_id not in kept:
            raise ConfigError(self._unknown(candidate_id, kept, option))
        record = kept[candidate_id]
        return Kept(
            id=candidate_id,
            method=self._method(candidate_id, record),
            adapter=self._adapter(candidate_id),
            files={name: f for name, f in record.files.items() if name.startswith("adapter/")},
        )

    def score_of(self, candidate_id: str) -> str | None:
        """A candidate's own test score by the deciding metric, in words beside its method's mean.

        None where it was not tested, or is the method's only run.
        """
        metric, own = self.results.primary, own_score(self.results, candidate_id)
        name = self.results.candidates[candidate_id].method
        if own is None or len(self.results.methods[name].seeds) < 2:
            return None
        mean = self.results.methods[name].test[metric.name].mean
        write = scale_of(metric.unit).write
        return f"test {metric.title} {write(own)}; the mean of {name}'s runs is {write(mean)}"

    def _method(self, candidate_id: str, record: CandidateRecord) -> Method:
        entry = self._entry(candidate_id, record)
        found = entry.build(self.base_of(choice_of(self.study, entry))).get(record.variant)
        if found is None:
            raise self._changed(candidate_id, record)
        return found

    def _entry(self, candidate_id: str, record: CandidateRecord) -> MethodEntry:
        for entry in self.study.entries:
            if entry.name == record.method:
                return entry
        raise self._changed(candidate_id, record)

    def _changed(self, candidate_id: str, record: CandidateRecord) -> StoreError:
        return StoreError(
            f"{self.path / RESULTS_FILE}: {candidate_id} is of the method {record.method!r}, "
            f"variant {record.variant!r}, which {self.path / STUDY_FILE} does not have; restore "
            "the file that was changed"
        )

    def _adapter(self, candidate_id: str) -> Path:
        return candidate_folder(self.path, self.results, candidate_id) / "adapter"

    def _recommended(self, kept: Mapping[str, CandidateRecord], option: str) -> str:
        recommendation = self.results.recommendation
        name = recommendation.method
        if name is None:
            raise ConfigError(
                f"{self.path}: the study recommends no method (its answer is "
                f"{recommendation.verdict}; `bakeoff report` says why); name a candidate with "
                f"{option}: {', '.join(kept)}"
            )
        found = representative(self.results, name, kept)
        if found is None:
            raise ConfigError(
                f"{self.path}: no candidate of the recommended method, {name}, has an adapter; "
                f"name another with {option}: {', '.join(kept)}"
            )

        return found

    def _unknown(self, candidate_id: str, kept: Mapping[str, CandidateRecord], option: str) -> str:
        record = self.results.candidates.get(candidate_id)
        if record is not None and record.source is not None:
            return (
                f"{option}: {candidate_id} was made elsewhere, of {record.source.path}, and left "
                f"no adapter here; choose one of {', '.join(kept)}"
            )
        if record is not None:
            return (
                f"{option}: {candidate_id} is {record.state} and left no adapter; choose one "
                f"of {', '.join(kept)}"
            )
        near = get_close_matches(candidate_id, kept, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        return (
            f"{option}: {candidate_id!r} is not a candidate of {self.path}{hint} It has: "
            f"{', '.join(kept)}"
        )
