"""What a protocol leaves little room for, said before and after training."""

from __future__ import annotations

import math
from typing import Final

from bakeoff.engine.workbench import Workbench
from bakeoff.formatting import join
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import NLL, Task

FEWEST_UPDATES: Final = 300
"""Below it methods may not have come to their ends: the first updates go into warming up, and AdamW
moves each value by about the learning rate an update."""


def decision_notes(task: Task, deciding: str) -> list[str]:
    """What the metric that decides cannot say of a task whose answers are written.

    Args:
        task: what is learnt. deciding: the metric's name.
    """
    written = any(metric.asks is Ask.TEXT for metric in task.metrics_before_rows)
    is_asked = task.options.metrics is not None and written
    if deciding != NLL or is_asked or not task.prefers_text_scores:
        return []
    return [
        "task.metrics asks for no score of the written text, so nll decides: how likely the "
        "references are, not how good the answers are that a method writes; name one, such as "
        "[rougeL] or {python: my_metrics.py:score}"
    ]


def protocol_notes(bench: Workbench) -> list[str]:
    """Warnings that follow from the protocol, the number of rows and the methods' sizes.

    Args:
        bench: the study on its base and data.
    """
    notes = []
    protocol, train = bench.protocol, bench.data.splits["train"]
    updates = protocol.epochs * math.ceil(len(train) / protocol.rows_per_step)
    if updates < FEWEST_UPDATES:
        notes.append(
            f"training has {updates:,} updates, fewer than {FEWEST_UPDATES}, so methods may not "
            "have come to their ends and the learning rate decides more than the method; give "
            "more rows or epochs, or fewer rows an update (protocol.micro_batch_size x "
            "protocol.grad_accum_steps)"
        )
    small = [
        f"{name} ({method.num_trainable:,})"
        for name, variants in bench.methods.items()
        for method in list(variants.values())[:1]
        if method.num_trainable < train.tokens_supervised
    ]
    if small:
        notes.append(
            f"{join(small)} {'trains' if len(small) == 1 else 'train'} fewer parameters than the "
            f"{train.tokens_supervised:,} tokens that training teaches, so more rows may not help "
            f"{'it' if len(small) == 1 else 'them'} much"
        )
    return notes
