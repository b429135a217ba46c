"""The candidates of one job, as a schedule of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.engine.candidate import Candidate
from bakeoff.runs.events import CohortJob
from bakeoff.runs.records import CandidateRecord
from bakeoff.search.method_search import MethodSearch
from bakeoff.search.schedule import StudySchedule


class JobSchedule(StudySchedule):
    """What ``StudySchedule`` is to a study, for the candidates of one job; it decides nothing.

    Those that have ended or paused stay so: a job that runs again is for the others of its pass.

    Args:
        study: the study's, whose methods are taken. job: whose candidates there are.
        records: what is known of them, by id; of those that are not named nothing is.
    """

    def __init__(
        self, study: StudySchedule, job: CohortJob, records: Mapping[str, CandidateRecord]
    ) -> None:
        self.search, self.epochs, self.seeds = study.search, study.epochs, study.seeds
        self.rungs, self.most_seeds = study.rungs, study.most_seeds
        self.curve_rows, self.left_out = study.curve_rows, frozenset()
        self.known = dict(records)
        self.methods = {
            method.name: MethodSearch(
                name=method.name,
                variants=method.variants,
                settings=method.settings,
                space=method.space,
                rates=method.rates,
            )
            for method in study.methods.values()
        }
        for seat in job.seats:
            candidate = self.candidate_of(seat.spec)
            method = self.methods[candidate.method_name]
            if candidate.rows is not None:
                method.curve.append(candidate)
            elif method.space is not None and candidate.seed == method.space.seed:
                method.searched.append(candidate)
            else:
                method.finals.append(candidate)
        self.known = {}

    def recall(
        self,
        later: Sequence[Candidate],
        chosen: Mapping[str, Candidate],
        num_rounds: Mapping[str, int],
    ) -> None:
        """All candidates of the job are there from the beginning."""
