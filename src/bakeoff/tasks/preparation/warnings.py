"""What a user should know of rows as they were prepared, in sentences."""

from __future__ import annotations

import numpy as np

from bakeoff.data.taskdata import SplitData
from bakeoff.formatting import counted, shown_whole
from bakeoff.tasks.contract import Task
from bakeoff.types import Split


def _num_joined(part: SplitData) -> int:
    """Rows that learn their right choice in other tokens than it is asked for in."""
    count = 0
    for i, (gold, chosen) in enumerate(zip(part.gold, part.choice_set, strict=True)):
        if gold < 0 or part.targets[i] != part.choice_sets[chosen].texts[gold]:
            continue
        asked = part.choice_sets[chosen].tokens[gold]
        mask = part.is_target[part.tokens.offsets[i] : part.tokens.offsets[i + 1]]
        count += not np.array_equal(part.tokens[i][mask][: len(asked)], asked)
    return count


def because(part: SplitData) -> str:
    """How a sentence on rows that were left out ends: with what is wrong with them."""
    return f"; {part.skipped_why}." if part.skipped_why else "."


def unread_warning(split: Split, part: SplitData, max_length: int) -> str | None:
    """Says so where rows of a split were not read to their end; None where all were."""
    if part.at_least is None:
        return None
    return (
        counted(part.rows_at_least, f"row of {split} is", f"rows of {split} are")
        + f" so much longer than task.max_length ({max_length}) that only as much as "
        "is used was read; lengths and tokens of such rows are counted as at least "
        f"{shown_whole(part.at_least)}."
    )


def warnings_of(task: Task, splits: dict[Split, SplitData]) -> list[str]:
    """All of them, split by split."""
    warnings = []
    for split, part in splits.items():
        asked = task.options.examples.of(split)
        _, pieces = np.unique(part.rows, return_counts=True)
        if asked is not None and len(pieces) < asked:
            warnings.append(
                f"task.examples.{split} asks for {asked} rows; of those that there are, "
                + counted(len(pieces), "is usable.", "are usable.")
            )
        if parted := int((pieces > 1).sum()):
            warnings.append(
                counted(parted, f"row of {split} has", f"rows of {split} have")
                + f" a {task.output_word} that is longer than task.max_length "
                f"({task.max_length}) and is taken in "
                f"{int(pieces[pieces > 1].sum())} pieces, each of which sees at most so many "
                "tokens."
            )
        if (unread := unread_warning(split, part, task.max_length)) is not None:
            warnings.append(unread)
        if part.rows_skipped:
            warnings.append(
                counted(
                    part.rows_skipped,
                    f"bad row of {split} was left out",
                    f"bad rows of {split} were left out",
                )
                + because(part)
            )
        if joined := _num_joined(part):
            warnings.append(
                f"In {counted(joined, 'row', 'rows')} of {split} a token holds the end of the "
                f"prompt and the start of the {task.output_word}, so what is learnt there is not "
                "what is compared at the test. Let task.template have a space or a line end "
                "between them."
            )
    return warnings
