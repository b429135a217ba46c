"""The cells of a crossed study, opened before any of them is trained.

What their results will be put together by is taken here: which rows of the source each test set
has, which rows hang together, and which cells share a tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.taskdata import SplitData
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.formatting import join
from bakeoff.study.crossing import BITS_PER_BYTE, PER_TOKEN
from bakeoff.study.opening import open_workbench
from bakeoff.study.study import Cell, Crossing, Study
from bakeoff.tasks.contract import Task

TEST: Final = "test"


@dataclass(frozen=True, kw_only=True)
class SetRows:
    """What scores on a set are put together by. Axis letter: N its rows.

    Attributes:
        numbers: [N] of each row in the source; one that became several rows has its number twice.
        groups: [N] which rows hang together, or None.
        labels: [N] index of each row's right label, -1 where there is none.
    """

    numbers: NDArray[np.int64]
    groups: Sequence[str] | None
    labels: NDArray[np.int64]

    def gold(self, shared: NDArray[np.int64]) -> Counter[int]:
        """Rows of each label, by its index, among those of some numbers in the source."""
        return Counter(self.labels[np.isin(self.numbers, shared)].tolist())

    @classmethod
    def of(cls, part: SplitData) -> SetRows:
        """Those of a split."""
        return cls(numbers=part.rows, groups=part.groups, labels=part.gold)


@dataclass(frozen=True, kw_only=True)
class OpenedCell:
    """A cell with what was found when its base and its rows were looked at.

    Attributes:
        task: with what the training rows decided. also: of each further test set.
        rows: by set. description, fingerprint: of the base. tokenizer: a digest of it.
        tokens_supervised: of the training rows.
        bits: what an NLL per token on validation is to be multiplied with for bits per byte.
    """

    cell: Cell
    task: Task
    also: Mapping[str, Task]
    rows: Mapping[str, SetRows]
    description: str
    fingerprint: str
    tokenizer: str
    tokens_supervised: int
    bits: float


def open_cells(crossing: Crossing, report: Any = lambda text: None) -> dict[str, OpenedCell]:
    """Opens each cell without its base's weights, so that errors come before training.

    Args:
        crossing: the study's. report: called with what is being done.

    Returns:
        By the cell's label.

    Raises:
        BakeoffError: of the kind that it is, naming the base and the layout that it is of.
    """
    found = {}
    for cell in crossing.cells:
        report(f"looking at {cell.place.label}")
        try:
            bench = open_workbench(cell.study, "cpu", meta=True)
        except BakeoffError as error:
            raise type(error)(f"{cell.place.words}: {_of_layout(cell, error)}") from error
        found[cell.place.label] = _opened(cell, bench)
    return found


def _of_layout(cell: Cell, error: BakeoffError) -> str:
    """The error's words, with columns of the layout named as the study has them."""
    text, layout = str(error), cell.place.template
    if layout is None:
        return text
    return re.sub(r"task\.template's (\{[^{}]*\})", rf"\1 of templates.{layout}", text)


def _opened(cell: Cell, bench: Workbench) -> OpenedCell:
    validation = bench.data.splits["validation"]
    size = float(validation.target_bytes.sum())
    tokens = validation.tokens_supervised
    sets = {TEST: bench.data.splits[TEST]} | {k: one.data for k, one in bench.also.items()}
    return OpenedCell(
        cell=cell,
        task=bench.task,
        also={name: one.task for name, one in bench.also.items()},
        rows={name: SetRows.of(part) for name, part in sets.items()},
        description=bench.base.source.description,
        fingerprint=bench.base.source.fingerprint,
        tokenizer=_digest(bench.base.tokenizer),
        tokens_supervised=bench.data.splits["train"].tokens_supervised,
        bits=tokens / size / math.log(2) if size else math.nan,
    )


def _digest(tokenizer: Any) -> str:
    """Of all that decides which tokens a text has."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        spelt = str(backend.to_str())
    else:
        spelt = json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    return hashlib.sha256(spelt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def one_tokenizer(opened: Mapping[str, OpenedCell]) -> bool:
    """Whether all cells have one tokenizer."""
    return len({cell.tokenizer for cell in opened.values()}) < 2


def check_cells(study: Study, opened: Mapping[str, OpenedCell]) -> None:
    """Holds what decides against what compares.

    Raises:
        ConfigError: nats per token would be compared across tokenizers; or cells differ in what
            they would be compared by.
    """
    crossing = study.crossing
    assert crossing is not None
    if not one_tokenizer(opened):
        named = study.options.decision.tolerance
        places = [("decision.metric", crossing.metric)]
        places += [(f"decision.margin.{name}", name) for name in study.options.decision.margin]
        for set_name, one in study.also.items():
            places += [(f"also_test.{set_name}.max_drop.{n}", n) for n in one.max_drop]
        for place, name in places:
            if name in PER_TOKEN:
                raise ConfigError(
                    f"{place}: {name} is per token, and the bases have different tokenizers "
                    f"({_tokenizers(opened)}), whose tokens are not the same amount of text; give "
                    f"{BITS_PER_BYTE}, which any two bases compare by, or a metric of the answers"
                )
        own = study.options.decision.metric
        if named is not None and own in PER_TOKEN:
            raise ConfigError(
                f"decision.tolerance: {named:g} is in nats per token, and the bases have different "
                f"tokenizers, so that {BITS_PER_BYTE} decides; name it with decision.metric: "
                f"{BITS_PER_BYTE}, and give the tolerance in bits per byte"
            )
    labels = {label: cell.task.labels for label, cell in opened.items()}
    if len(set(labels.values())) > 1:
        raise ConfigError(
            f"task.labels: {join(list(labels))} find different labels in the training rows they "
            "use, so that their answers do not compare; name the labels, or raise task.max_length"
        )


def _tokenizers(opened: Mapping[str, OpenedCell]) -> str:
    """The bases that share one, in words."""
    groups: dict[str, list[str]] = {}
    for cell in opened.values():
        names = groups.setdefault(cell.tokenizer, [])
        if (base := str(cell.cell.place.base)) not in names:
            names.append(base)
    return "; ".join(join(names) for names in groups.values())


def deciding_metric(study: Study, opened: Mapping[str, OpenedCell]) -> str:
    """The metric that decides between all cells: the study's, or bits per byte in place of nats."""
    name = study.options.decision.metric
    assert name is not None
    return BITS_PER_BYTE if name in PER_TOKEN and not one_tokenizer(opened) else name
