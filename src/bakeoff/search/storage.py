"""The search as Optuna holds it: a study for each method, a trial for each candidate.

The run's own checkpoints decide what has happened. A trial that is ahead of them, as a crash
leaves it, would show decisions a future that they did not know, so that a resumed run writes its
trials again from what it has. ``optuna-dashboard`` opens the database at any time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import StoreError
from bakeoff.search.options import SearchOptions, without_password
from bakeoff.types import RunState

_OWNER = "bakeoff_run"
_ENDED = "bakeoff_state"
_FORGOTTEN = "bakeoff_started_again"
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


class RungPruner(BasePruner):
    """Successive halving over whole rungs.

    Optuna's own ``SuccessiveHalvingPruner`` compares a trial with those that came before it and
    lets the first of a rung go on whatever it is worth. Slots here go in step and pause, so that
    a rung is decided when all of it is there, and the order of slots means nothing.
    """

    def __init__(self, rungs: tuple[int, ...], reduction_factor: int) -> None:
        self.rungs = rungs
        self.reduction_factor = reduction_factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """See ``optuna.pruners.BasePruner``."""
        rung = trial.last_step
        if rung is None or rung not in self.rungs:
            return False
        trials = study.get_trials(deepcopy=False)
        known = sorted(v for t in trials if (v := self._loss(t, rung)) is not None)
        best = max(1, len(known) // self.reduction_factor)
        loss = self._loss(trial, rung)
        return loss is not None and loss > known[best - 1]

    def _loss(self, trial: FrozenTrial, rung: int) -> float | None:
        """What a trial brings to a rung: its lowest validation NLL until then.

        One that ended on the way to it brings that, or infinity where it diverged or failed; one
        that did not come so far brings nothing.
        """
        if trial.user_attrs.get(_FORGOTTEN):
            return None
        reached = trial.last_step or 0
        if reached < rung:
            before = max((r for r in self.rungs if r < rung), default=0)
            if trial.state not in (TrialState.FAIL, TrialState.COMPLETE) or reached < before:
                return None
            if trial.state is TrialState.FAIL:
                return float("inf")
        return min(v for step, v in trial.intermediate_values.items() if step <= rung)


class SearchStorage:
    """The searches of one run in Optuna's storage.

    Args:
        url: SQLAlchemy's URL of the database.
        study_name: the study's; each method's search is called ``STUDY/METHOD``.
        owner: distinguishes this run from others in the same database.
        search: how is searched. rungs: where candidates are compared.
        searched: for each method and variant the searched options.
    """

    def __init__(
        self,
        url: str,
        study_name: str,
        owner: str,
        search: SearchOptions,
        rungs: tuple[int, ...],
        searched: dict[str, dict[str, dict[str, Any]]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study_name, self.owner, self.searched = study_name, owner, searched
        self._pruner = RungPruner(rungs, search.reduction_factor)
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
    def begin(self, candidates: Iterable[Candidate]) -> None:
        """Creates the searches again and writes what the candidates have reached.

        Raises:
            StoreError: if a search of this name belongs to another run.
        """
        known = {s.study_name: s for s in optuna.get_all_study_summaries(self._storage)}
        for method in self.searched:
            name = f"{self.study_name}/{method}"
            if name in known:
                if known[name].user_attrs.get(_OWNER) != self.owner:
                    raise StoreError(
                        f"search.storage: it holds a search called {name!r} of another run; give "
                        "the study another name, or another database"
                    )
                optuna.delete_study(study_name=name, storage=self._storage)
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", pruner=self._pruner
            )
            study.set_user_attr(_OWNER, self.owner)
            self._studies[method] = study
        for candidate in candidates:
            self.write(candidate)

    @_storage_errors()
    def write(self, candidate: Candidate) -> None:
        """Asks for the candidate's trial if it has none, and writes what is new into it."""
        if candidate.id in self._ended:
            return
        trial = self._trials.get(candidate.id)
        if trial is not None and len(candidate.epochs) < self._written[candidate.id]:
            # It started again, as after a cohort that failed: what it had reached is no longer so.
            trial.set_user_attr(_FORGOTTEN, True)
            study = self._studies[candidate.method_name]
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            trial = None
        if trial is None:
            trial = self._trials[candidate.id] = self._ask(candidate)
            self._written[candidate.id] = 0
        for record in candidate.epochs[self._written[candidate.id] :]:
            trial.report(record.val_nll, record.epoch)
        self._written[candidate.id] = len(candidate.epochs)
        if candidate.state in _STATES:
            self._ended.add(candidate.id)
            study = self._studies[candidate.method_name]
            trial.set_user_attr(_ENDED, candidate.state.value)
            if candidate.reason:
                trial.set_user_attr("reason", candidate.reason)
            state = _STATES[candidate.state]
            value = candidate.best_val_nll if state is TrialState.COMPLETE else None
            study.tell(trial, value, state=state, skip_if_finished=True)

    @_storage_errors()
    def prunes(self, candidate: Candidate) -> bool:
        """Whether the pruner ends the candidate at the rung that it has reached."""
        self.write(candidate)
        return self._trials[candidate.id].should_prune()

    def close(self) -> None:
        """Lets go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _ask(self, candidate: Candidate) -> Trial:
        study = self._studies[candidate.method_name]
        variants = self.searched[candidate.method_name]
        params: dict[str, Any] = {"learning_rate": candidate.learning_rate}
        space: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(_LOWEST, _HIGHEST, log=True)
        }
        for key, value in variants[candidate.variant].items():
            values = dict.fromkeys(_plain(options[key]) for options in variants.values())
            params[key], space[key] = _plain(value), CategoricalDistribution(list(values))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.enqueue_trial(params, user_attrs={"candidate": candidate.id})
            return study.ask(space)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
