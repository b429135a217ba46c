"""What a reader must know of a judge's verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bakeoff.errors import DataError
from bakeoff.execution.judging.judging import votes_file
from bakeoff.execution.judging.votes import read_votes
from bakeoff.formatting import shown_money, shown_whole
from bakeoff.metrics.judge import JudgeOptions
from bakeoff.runs.judged import HumanVotes, JudgeRecord, Share
from bakeoff.runs.records import Results
from bakeoff.study.study import Study

JUDGED_ABOVE: Final = (
    "the answers are judged in the study's own folder, over all bases and prompts at once"
)
"""Of a cell of a crossed study."""


def judge_plan(judge: JudgeOptions | None, *, rows: int, runs: int) -> list[str]:
    """What a study's judge may be asked, before anything is.

    Args:
        judge: who judges. rows: of the test set. runs: whose answers are compared, at most.
    """
    if judge is None:
        return []
    judged = rows if judge.rows is None else min(rows, judge.rows)
    calls = min(2 * judged * runs, judge.max_calls)
    money = "" if judge.max_cost is None else f" for at most {judge.max_cost:g} in money"
    return [
        f"judge: {judge.model} at {judge.endpoint} gets up to {shown_whole(calls)} calls{money}, "
        f"with up to {shown_whole(judged)} test rows and the answers to them"
    ]


def judge_notes(judge: JudgeRecord | None) -> list[str]:
    """In sentences how the judge judged, what that cost, and what speaks against it."""
    if judge is None:
        return []
    if not judge.rows:
        return [f"judge: {judge.model} gave no scores: {judge.why_fewer}"]
    notes = [_how(judge)]
    if judge.pairs:
        notes.append(f"judge: {'; '.join(_agreement(judge))}")
    return notes + [f"the judge is flagged: {flag}" for flag in judge.flags]


def has_new_votes(study: Study, folder: Path, results: Results) -> bool:
    """Whether people have voted since the judge was compared with them."""
    judge = study.options.judge
    path = None if judge is None else votes_file(judge, folder)
    if path is None or results.judge is None:
        return False
    try:
        votes, lost = read_votes(path)
    except DataError:
        return True  # which the stage says
    human = results.judge.human
    known = 0 if human is None else human.votes + human.left_out
    return len(votes) + lost != known


def _how(judge: JudgeRecord) -> str:
    fewer = f" ({judge.why_fewer})" if judge.why_fewer else ""
    against = "each row's right answer" if judge.against == "reference" else judge.against
    tokens = shown_whole(judge.input_tokens + judge.output_tokens)
    parts = [f"{shown_whole(judge.calls)} calls, {tokens} tokens"]
    if judge.estimated_tokens:
        parts[-1] += ", estimated where the server counts none"
    if judge.cost is not None:
        parts.append(shown_money(judge.cost, judge.currency))
    if judge.failed:
        parts.append(f"{shown_whole(judge.failed)} failed")
    if judge.unreadable:
        parts.append(f"{shown_whole(judge.unreadable)} without a verdict")
    return (
        f"judge: {judge.model} compared every answer with that of {against} in both orders, on "
        f"{shown_whole(judge.rows)} of {shown_whole(judge.rows_of_test)} test rows{fewer}; "
        f"{', '.join(parts)}"
    )


def _agreement(judge: JudgeRecord) -> list[str]:
    parts = []
    if judge.consistent is not None:
        parts.append(f"both orders gave one verdict on {_shown(judge.consistent)} pairs")
    if judge.by_position is not None:
        parts.append(f"both preferred the same place on {_percent(judge.by_position)}")
    if judge.longer is not None:
        parts.append(f"the longer answer won on {_shown(judge.longer)} decided pairs")
    if judge.human is not None:
        parts.append(_human(judge.human))
    else:
        parts.append("no votes of people to compare with")
    return parts


def _human(human: HumanVotes) -> str:
    left = ""
    if human.left_out:
        why = f", first {human.first_left_out}" if human.first_left_out else ""
        left = f" ({human.left_out} left out{why})"
    if human.agreement is None:
        return f"no vote of people speaks of what was judged{left}"
    text = f"it agrees with {_shown(human.agreement)} votes of people{left}"
    if human.decided is not None:
        text += f", and with {_shown(human.decided)} of those where neither calls a tie"
    return text


def _shown(share: Share) -> str:
    return (
        f"{_percent(share)} ({100 * share.low:.0f} to {100 * share.high:.0f} %) of "
        f"{shown_whole(share.cases)}"
    )


def _percent(share: Share) -> str:
    return f"{100 * share.value:.0f} %"
