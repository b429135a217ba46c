"""How long a study's rows are: in the records, and on the terminal before anything is trained."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bakeoff.data.hygiene.lengths import ANSWER, NEEDED, ROW, cutting, share_over, spread
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.formatting import shown_share, shown_whole
from bakeoff.runs.records import DataLengths, LengthSpread, SplitLengths
from bakeoff.tables import print_table
from bakeoff.types import SPLITS


def lengths_of(data: TaskData, max_length: int) -> DataLengths | None:
    """The lengths of all splits; None where they are not known.

    Args:
        data: prepared. max_length: that the rows were cut to.
    """
    if not all(len(data.splits[split].lengths) for split in SPLITS):
        return None
    return DataLengths(
        max_length=max_length,
        cuts_1_percent=cutting(data.splits["train"].lengths[:, NEEDED]),
        splits={split: _of(data.splits[split], max_length) for split in SPLITS},
        in_pieces=any(len(np.unique(rows)) < len(rows) for rows in _rows(data)),
    )


def _rows(data: TaskData) -> list[NDArray[np.int64]]:
    """[rows] of each split the numbers in its source; those of a row's pieces are the same."""
    return [data.splits[split].rows for split in SPLITS]


def _of(part: SplitData, max_length: int) -> SplitLengths:
    row, answer = (
        LengthSpread(**asdict(spread(part.lengths[:, which]))) for which in (ROW, ANSWER)
    )
    return SplitLengths(
        row=row,
        answer=answer,
        cut_share=share_over(part.lengths[:, NEEDED], max_length),
        at_least=part.at_least,
    )


def print_lengths(found: DataLengths, console: Console) -> None:
    """Prints a table of at most 80 columns, and the ``max_length`` that would cut 1 %."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tokens")
    last = "in pieces" if found.in_pieces else "cut"
    titles = ("row: median", "95 %", "99 %", "answer: median", "95 %", "99 %", last)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for split, lengths in found.splits.items():
        figures = [
            *map(lengths.shown, _figures(lengths.row)),
            *map(shown_whole, _figures(lengths.answer)),
        ]
        table.add_row(split, *figures, shown_share(lengths.cut_share))
    rows, answers = (f"row: {titles[i]}" for i in (1, 2)), (f"answer: {titles[i]}" for i in (1, 2))
    print_table(table, console, ["tokens", titles[0], *rows, titles[3], *answers, titles[6]])
    console.print(advice(found), style="dim", highlight=False)


def _figures(lengths: LengthSpread) -> list[int]:
    return [lengths.median, lengths.p95, lengths.p99]


def advice(found: DataLengths) -> str:
    """What the present ``max_length`` cuts, and which one would cut 1 %."""
    if found.in_pieces:
        return (
            f"Texts of more than {found.max_length} tokens (task.max_length) are taken in pieces."
        )
    train, most = found.splits["train"], found.cuts_1_percent
    return (
        f"task.max_length {found.max_length} cuts {shown_share(train.cut_share)} of the training "
        f"rows; {train.sign(most)}{most} would cut 1 %."
    )
