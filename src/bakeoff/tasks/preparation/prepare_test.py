"""The rows of a further test set, laid out and tokenised as those of the study's own sets are."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

from bakeoff.data import cache
from bakeoff.data.hygiene.overlap import Overlap
from bakeoff.data.rows import take_rows
from bakeoff.data.sources import open_test_source
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import counted
from bakeoff.tasks.contract import Task, columns_of
from bakeoff.tasks.conversation.chat_rendering import CHAT, note_on, template_for
from bakeoff.tasks.preparation.checks import check_input
from bakeoff.tasks.preparation.examined import benchmark_caution, benchmark_named, order_caution
from bakeoff.tasks.preparation.known import all_columns, known_beforehand, with_found
from bakeoff.tasks.preparation.prepare import MAX_LENGTH, Preparation, cached, longest_of
from bakeoff.tasks.preparation.warnings import because
from bakeoff.types import Split

_TEST: Final[Split] = "test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedTest:
    """A test set that is ready to be asked.

    Attributes:
        task: with all that the base and the rows decided. data: its rows.
        warnings: sentences for the user.
    """

    task: Task
    data: SplitData
    warnings: list[str]


def prepare_test(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    where: str,
    root: Path,
    cache_dir: Path | None,
    tokenizer_id: str,
    trained: Mapping[str, Any] | None = None,
    workers: int | None = None,
    room: int | None = None,
) -> PreparedTest:
    """Reads, cleans and tokenises the rows of a further test set.

    Args:
        task: the set's; its options name the source. tokenizer: the base's.
        where: the path of the set in the study, which errors name instead of ``task``.
        root, cache_dir, tokenizer_id, workers, room: as of ``prepare``.
        trained: what the training rows decided, for a set of the same kind (``TaskData.found``);
            what that leaves open, the set's own rows decide, as the labels of another
            classification.

    Raises:
        ConfigError: an option that does not suit the source.
        DataError: data that cannot be found, read or used.
    """
    with _named(where, task):
        opened = partial(open_test_source, root=root)
        template = template_for(task, tokenizer, root)
        known = known_beforehand(task, template, opened)
        notes, task = note_on(task, template), with_found(task, known)
        source = opened(task.options, columns_of(task))
        if task.reads_whole_rows:
            source = opened(task.options, all_columns(task, source))
        inherited = _inherited(task, trained or {})
        if task.options.max_length is None:
            inherited.setdefault(MAX_LENGTH, longest_of(task, room))
        task = with_found(task, inherited)

        def made() -> TaskData:
            check_input(task, source, _TEST)
            rows = take_rows(
                task.options,
                all_columns(task, source) if task.reads_whole_rows else columns_of(task),
                source,
                _TEST,
                lambda record: task.example(record.values),
            )
            found = task.found([record.values for record in rows.records])
            final = with_found(task, found)
            part = Preparation(final, source, tokenizer, tokenizer_id, workers).split(_TEST)
            found_out = (
                benchmark_caution(final, part),
                order_caution(final, _TEST, part, is_cut=rows.is_cut),
            )
            cautions = [said for said in found_out if said]
            return TaskData(
                splits={_TEST: part},
                found=found,
                overlap=Overlap(),
                warnings=[*notes, *_warnings(final, part), *cautions],
                seed=task.options.seed,
            )

        options = {**dataclasses.asdict(task.options), "source": None, "metrics": None}
        key = [
            json.dumps(
                [
                    "test alone",
                    options,
                    known,
                    inherited,
                    task.reads_whole_rows,
                    benchmark_named(task),
                ],
                sort_keys=True,
            ),
            *cache.tokenizer_identity(tokenizer, tokenizer_id),
            *source.fingerprint(),
        ]
        data = cached(made, key, cache_dir)
    return PreparedTest(
        task=with_found(task, data.found),
        data=data.splits[_TEST],
        warnings=[_of(where, _renamed(where, task, warning)) for warning in data.warnings],
    )


def _inherited(task: Task, trained: Mapping[str, Any]) -> dict[str, Any]:
    """What the training rows decided, where the set leaves it open."""
    return {
        key: value
        for key, value in trained.items()
        if key != CHAT and getattr(task.options, key, None) is None and task.may_take(key, value)
    }


def _warnings(task: Task, part: SplitData) -> list[str]:
    warnings = []
    asked = task.options.examples.test
    if asked is not None and len(set(part.rows.tolist())) < asked:
        warnings.append(
            f"task.examples.test asks for {asked} rows; there are {len(set(part.rows.tolist()))} "
            "usable ones."
        )
    if part.rows_skipped:
        rows = counted(part.rows_skipped, "bad row was left out", "bad rows were left out")
        warnings.append(f"{rows}{because(part)}")
    return warnings


@contextmanager
def _named(where: str, task: Task) -> Iterator[None]:
    """Errors name the set's place in the study."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(_renamed(where, task, str(error))) from error


def _of(where: str, warning: str) -> str:
    return warning if warning.startswith(where) else f"{where}: {warning}"


def _renamed(where: str, task: Task, text: str) -> str:
    """A sentence in which the keys of ``task`` are the set's."""
    keys = "|".join(field.name for field in dataclasses.fields(task.options))
    return re.sub(rf"(?<![\w/\\.-])task\.(?=(?:{keys})\b)", lambda _: f"{where}.", text)
