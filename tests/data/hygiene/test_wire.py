"""The demo's articles are made from templates and warn of nothing."""

from __future__ import annotations

from bakeoff.data import wire
from bakeoff.data.hygiene.answers import labels_in_inputs, targets_in_inputs
from bakeoff.data.hygiene.overlap import Overlap, OverlapRow, find_overlap
from bakeoff.types import SPLITS


def test_wire_has_no_rows_that_are_nearly_the_same() -> None:
    rows = {
        split: [
            OverlapRow(i, (one.article,), one.highlights, one.highlights)
            for i, one in enumerate(wire.generate(600, seed=0, split=split), 1)
        ]
        for split in SPLITS
    }
    found = find_overlap(rows)
    assert found == Overlap()


def test_wire_does_not_say_its_answers_word_for_word() -> None:
    examples = list(wire.generate(300, seed=1, split="train"))
    assert not targets_in_inputs((one.article, one.highlights) for one in examples).is_most
    desks = sorted({one.desk for one in examples})
    labels = [(one.article, desks, desks.index(one.desk)) for one in examples]
    assert not labels_in_inputs(labels).is_most
