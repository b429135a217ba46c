"""Judging one set of answers: what is missing is asked, and what all verdicts come to.

It knows of texts alone, and neither of candidates nor of folders of results, so that answers of one
study (``stage.py``) and of all cells of a crossed one are judged alike.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bakeoff.decide.prices import PriceOptions
from bakeoff.errors import ConfigError, DataError, EndpointError
from bakeoff.execution.judging.asking import Asking, Contestant, Pair, Rows, preference
from bakeoff.execution.judging.client import ChatClient
from bakeoff.execution.judging.journal import CallJournal
from bakeoff.execution.judging.statistics import Judged, human_votes, reliability
from bakeoff.execution.judging.votes import VOTES_FILE, KeptAnswers, placed_votes
from bakeoff.metrics.judge import REFERENCE, JudgeOptions
from bakeoff.runs.judged import HumanVotes, JudgeRecord, Tally

_log = logging.getLogger(__name__)
_MOST_UNREAD: Final = 0.2
"""Of the answers, beyond which it is flagged that they hold no verdict."""
Preferences = dict[str, dict[int, tuple[float, float]]]
"""By run, then by row: what each order prefers."""


def _nothing(text: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who is compared with what.

    Attributes:
        against: what everything is compared with. contestants: all others that wrote answers.
        rows: what was asked, and the answers of ``against``.
        indices: what people's votes call each of them; its place without.
    """

    against: str
    contestants: Sequence[Contestant]
    rows: Rows
    indices: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What came of it.

    Attributes:
        contest: None where it could not be put together. preferences: of the rows that were judged
            for all. record: how the judge judged. failed: whether it was given up.
    """

    contest: Contest | None
    preferences: Preferences
    record: JudgeRecord
    failed: bool

    @property
    def rows(self) -> set[int]:
        """Those that were judged, the same ones for all."""
        return {row for by_row in self.preferences.values() for row in by_row}

    def preferred(self) -> dict[str, dict[int, float]]:
        """By run and row, 0..1; what all is compared with is preferred to itself by a half."""
        if self.contest is None:
            return {}
        found = {
            one.run: {row: sum(said) / 2 for row, said in self.preferences.get(one.run, {}).items()}
            for one in self.contest.contestants
        }
        if self.contest.against != REFERENCE:
            found[self.contest.against] = dict.fromkeys(self.rows, 0.5)
        return found


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Judges answers, as often as it likes: what the journal has costs nothing.

    Attributes:
        options: the study's. prices: what tokens cost where the judge has no prices of its own.
        folder: where the journal is, held by this process, and people's votes may be.
        stop: asked between answers; why to stop now, or None. progress: rows done and in all.
        warn: shows that the judge was given up. note: keeps something for the report.
    """

    options: JudgeOptions
    prices: PriceOptions
    folder: Path
    stop: Callable[[], BaseException | None] = lambda: None
    progress: Callable[[int, int], None] = lambda done, total: None
    warn: Callable[[str], None] = field(default=_nothing)
    note: Callable[[str], None] = field(default=_nothing)

    def judge(self, gather: Callable[[], Contest], number: int) -> Verdicts:
        """Asks for what is missing.

        A judge that cannot be asked to the end is given up, with what it said kept.

        Args:
            gather: puts the contest together; its errors are the judge's. number: of test rows.
        """
        journal = CallJournal(self.folder)
        contest, why, failed = None, None, False
        preferences: Preferences = {}
        pairs: list[Pair] = []
        asking: Asking | None = None
        own = self.options.prices
        try:
            contest = gather()
            cancelled = threading.Event()
            asking = Asking(
                self.options,
                own if own.is_known else self.prices.tokens,
                ChatClient(self.options, cancelled),
                cancelled,
                journal,
                stop=self.stop,
                progress=self.progress,
            )
            for of_row in asking.run(contest.rows, contest.contestants):
                found = [(pair, preference(pair, journal)) for pair in of_row]
                # A row counts for all or for none.
                if all(said is not None for _, said in found):
                    for pair, said in found:
                        assert said is not None
                        preferences.setdefault(pair.contestant.run, {})[pair.row] = said
                        pairs.append(pair)
        except (EndpointError, DataError, ConfigError) as error:
            why, failed = str(error), True
            _log.exception("the judge was given up")
            # The record says it in the report, where a later call may take it back.
            self.warn(f"the judge was given up: {error}")
        why = why or (None if asking is None else asking.why_fewer)
        record = self._record(contest, preferences, pairs, journal, why, number)
        return Verdicts(contest=contest, preferences=preferences, record=record, failed=failed)

    def _record(
        self,
        contest: Contest | None,
        preferences: Preferences,
        pairs: Sequence[Pair],
        journal: CallJournal,
        why_fewer: str | None,
        number: int,
    ) -> JudgeRecord:
        contestants = () if contest is None else contest.contestants
        own = self.options.prices
        prices = own if own.is_known else self.prices.tokens
        judged: dict[tuple[str, str], Judged] = {}
        tallies: dict[str, list[int]] = {one.name: [0, 0, 0, 0] for one in contestants}
        for pair in pairs:
            said, tally = preferences[pair.contestant.run][pair.row], tallies[pair.contestant.name]
            if pair.keys is None:
                tally[3] += 1
                continue
            for value in said:
                tally[0 if value == 1.0 else 1 if value == 0.5 else 2] += 1
            # Equal answers of two seeds are one question.
            judged[pair.keys] = Judged(
                shown_first=said[0],
                shown_second=said[1],
                longer=len(pair.question.a.strip()) - len(pair.question.b.strip()),
            )
        found = reliability(list(judged.values()))
        flags, known = list(found.flags), len(journal.verdicts)
        if known and journal.unreadable > _MOST_UNREAD * known:
            flags.append(f"{journal.unreadable} of {known} of its answers hold no verdict")
        rows = len({row for by_row in preferences.values() for row in by_row})
        if why_fewer is None and rows < (self.options.rows or number):
            why_fewer = "the judge gave no verdict on the others"
        return JudgeRecord(
            model=self.options.model,
            endpoint=self.options.endpoint,
            rubric=self.options.criteria,
            against="" if contest is None else contest.against,
            rows=rows,
            rows_of_test=number,
            why_fewer=why_fewer,
            pairs=found.pairs,
            calls=journal.requests,
            unreadable=journal.unreadable,
            failed=journal.failed,
            input_tokens=journal.input_tokens,
            output_tokens=journal.output_tokens,
            estimated_tokens=journal.has_estimates,
            cost=prices.of_tokens(journal.input_tokens, journal.output_tokens),
            currency=self.prices.currency,
            consistent=found.consistent,
            by_position=found.by_position,
            first=found.first,
            longer=found.longer,
            length_correlation=found.length_correlation,
            tallies={
                name: Tally(wins=w, ties=t, losses=lost, identical=same)
                for name, (w, t, lost, same) in tallies.items()
            },
            human=None if contest is None else self._human(contest, preferences),
            flags=tuple(flags),
            by_place_too_often=found.by_place_too_often,
        )

    def _human(self, contest: Contest, preferences: Preferences) -> HumanVotes | None:
        """People's votes, where there are any, against the judge's."""
        path = votes_file(self.options, self.folder)
        if path is None:
            return None
        try:
            votes, faults = placed_votes(path, _kept_answers(contest))
        except DataError as error:
            self.note(str(error))
            return None
        scores: dict[str, dict[int, float]] = {}
        sums: dict[str, dict[int, list[float]]] = {}
        for one in contest.contestants:
            for row, said in preferences.get(one.run, {}).items():
                scores.setdefault(one.run, {})[row] = sum(said) / 2
                sums.setdefault(one.name, {}).setdefault(row, []).append(sum(said) / 2)
        for name, by_row in sums.items():
            scores[name] = {row: sum(found) / len(found) for row, found in by_row.items()}
        rows = {row for by_row in preferences.values() for row in by_row}
        scores[contest.against] = dict.fromkeys(rows, 0.5)
        return human_votes(votes, scores, len(faults), first=min(faults, default=None))


def _kept_answers(contest: Contest) -> KeptAnswers:
    """What blind votes are matched with: of runs, of methods, and what all is compared with."""
    answers: dict[str, dict[str, Sequence[str]]] = {}
    for one in contest.contestants:
        answers.setdefault(one.name, {})[one.run] = one.answers
        answers.setdefault(one.run, {})[one.run] = one.answers
    if contest.against != REFERENCE:
        answers[contest.against] = {contest.against: contest.rows.against}
    return KeptAnswers(contest.rows.tasks, answers, contest.indices)


def votes_file(options: JudgeOptions, folder: Path) -> Path | None:
    """Where people's votes are; None where there are none."""
    if options.votes is not None:
        return Path(options.votes)
    path = folder / VOTES_FILE
    return path if path.is_file() else None
