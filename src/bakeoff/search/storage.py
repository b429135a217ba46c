"""The search as Optuna shows it: a study for each method, a trial for each candidate.

It is written from the candidates' records and never read: what is decided follows from the records
themselves. A trial that is ahead of the run's checkpoints, as a crash leaves it, is written again
by a resumed run. ``optuna-dashboard`` opens the database at any time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from bakeoff.errors import StoreError
from bakeoff.runs.records import CandidateRecord
from bakeoff.search.options import without_password
from bakeoff.types import RunState

_OWNER = "bakeoff_run"
_ENDED = "bakeoff_state"
_LOWEST, _HIGHEST = 1e-300, 1e300
_STATES = {
    RunState.COMPLETE: TrialState.COMPLETE,
    RunState.STOPPED: TrialState.COMPLETE,
    RunState.PRUNED: TrialState.PRUNED,
    RunState.DIVERGED: TrialState.FAIL,
    RunState.FAILED: TrialState.FAIL,
}


@contextmanager
def _storage_errors() -> Iterator[None]:
    """The database's refusals as an error with a remedy, for no candidate is at fault."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StoreError(
            f"search.storage: the database refused ({_first_line(error)}); make room or repair it, "
            "and run the same command again, which goes on where this run stopped"
        ) from error


class UnreadableError(StoreError):
    """What is at the storage's place is not a database.

    Attributes:
        place: its URL without a password.
    """

    def __init__(self, place: str) -> None:
        super().__init__(
            f"search.storage: {place} holds something that is not a database; move it away, or "
            "give another URL"
        )
        self.place = place


class SearchStorage:
    """The searches of one run in Optuna's storage.

    Args:
        url: SQLAlchemy's URL of the database.
        study_name: the study's; each method's search is called ``STUDY/METHOD``.
        owner: distinguishes this run from others in the same database.
        searched: for each method and variant the searched options.
    """

    def __init__(
        self,
        url: str,
        study_name: str,
        owner: str,
        searched: Mapping[str, Mapping[str, Mapping[str, Any]]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study_name, self.owner, self.searched = study_name, owner, searched
        self._studies: dict[str, optuna.Study] = {}
        self._trials: dict[str, Trial] = {}
        self._written: dict[str, int] = {}
        self._ended: set[str] = set()
        try:
            self._storage: Any = optuna.storages.RDBStorage(url)
        except Exception as error:  # SQLAlchemy's, and a driver's that is missing
            is_garbage = isinstance(error, DatabaseError) and not isinstance(
                error, OperationalError
            )
            if is_garbage:
                raise UnreadableError(without_password(url)) from error
            raise StoreError(
                f"search.storage: {without_password(url)} cannot be opened "
                f"({type(error).__name__}); give the URL of a database that is there, or null for "
                "study.db in the run's folder"
            ) from error

    @_storage_errors()
    def begin(self, records: Iterable[CandidateRecord]) -> None:
        """Creates the searches again and writes what the candidates have reached.

        Raises:
            StoreError: if a search of this name belongs to another run.
        """
        known = {s.study_name: s for s in optuna.get_all_study_summaries(self._storage)}
        for method in self.searched:
            name = f"{self.study_name}/{method}"
            if name in known:
                there = known[name]
                # One that was killed between making a search and signing it left an empty one.
                is_unsigned = not there.user_attrs and not there.n_trials
                if not is_unsigned and there.user_attrs.get(_OWNER) != self.owner:
                    raise StoreError(
                        f"search.storage: it holds a search called {name!r} of another run; give "
                        "the study another name, or another database"
                    )
                optuna.delete_study(study_name=name, storage=self._storage)
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize"
            )
            study.set_user_attr(_OWNER, self.owner)
            self._studies[method] = study
        for record in records:
            self.write(record)

    @_storage_errors()
    def write(self, record: CandidateRecord) -> None:
        """Asks for the candidate's trial if it has none, and writes what is new into it."""
        if record.id in self._ended:
            return
        study = self._studies[record.method]
        trial = self._trials.get(record.id)
        if trial is not None and len(record.epochs) < self._written[record.id]:
            # It started again, as after a cohort that failed: what it had reached is no longer so.
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            trial = None
        if trial is None:
            trial = self._trials[record.id] = self._ask(record)
            self._written[record.id] = 0
        for epoch in record.epochs[self._written[record.id] :]:
            trial.report(epoch.val_nll, epoch.epoch)
        self._written[record.id] = len(record.epochs)
        if record.state in _STATES:
            self._ended.add(record.id)
            trial.set_user_attr(_ENDED, record.state.value)
            if record.reason:
                trial.set_user_attr("reason", record.reason)
            state = _STATES[record.state]
            value = record.best_val_nll if state is TrialState.COMPLETE else None
            study.tell(trial, value, state=state, skip_if_finished=True)

    def close(self) -> None:
        """Lets go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _ask(self, record: CandidateRecord) -> Trial:
        study = self._studies[record.method]
        variants = self.searched[record.method]
        params: dict[str, Any] = {"learning_rate": record.learning_rate}
        space: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(_LOWEST, _HIGHEST, log=True)
        }
        for key, value in variants[record.variant].items():
            values = dict.fromkeys(_plain(options[key]) for options in variants.values())
            params[key], space[key] = _plain(value), CategoricalDistribution(list(values))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.enqueue_trial(params, user_attrs={"candidate": record.id})
            return study.ask(space)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
