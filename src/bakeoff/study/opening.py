"""Loads what a study works on: base, methods and data, so that its errors come before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import PreTrainedModel

from bakeoff.base.choice import BaseChoice
from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.base.weights.sources import Source, load_source
from bakeoff.data.sources import WIRE, is_there, named_files, open_source, open_test_source
from bakeoff.data.taskdata import TaskData
from bakeoff.engine.determinism import choose_algorithms
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.workbench import TestSet, Workbench, plan_of
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.files import cache_folder as cache_folder
from bakeoff.methods.contract import Method
from bakeoff.methods.entries import MethodEntry, check_quantized
from bakeoff.metrics.base import is_judged
from bakeoff.metrics.contract import Ask
from bakeoff.ranks import ranks
from bakeoff.search.schedule import StudySchedule, first_candidates
from bakeoff.search.selection import BEST_BY_NLL, ROWS_OF_TEXT, Selection
from bakeoff.study.also import AlsoTest
from bakeoff.study.curve import curve_of
from bakeoff.study.defaults import generation_for
from bakeoff.study.embedded import check_embedded
from bakeoff.study.entrants import files_of, open_entrants
from bakeoff.study.study import Study
from bakeoff.tasks.contract import NLL, Task
from bakeoff.tasks.preparation.examined import seen_in_training
from bakeoff.tasks.preparation.prepare import prepare, with_found
from bakeoff.tasks.preparation.prepare_test import prepare_test
from bakeoff.tasks.preparation.shots import ShotData


def load_base(
    study: Study, device: str, *, meta: bool = False, choice: BaseChoice | None = None
) -> Base:
    """Loads and prepares the study's base on a device.

    Args:
        study: whose base it is. device: where it goes.
        meta: takes its shapes alone. choice: which of its held bases; None for the study's own.
    """
    wanted = choice or choice_of(study)
    return load_bases(study, device, meta=meta, wanted=[wanted])[wanted]


def load_bases(
    study: Study, device: str, *, meta: bool = False, wanted: Sequence[BaseChoice]
) -> dict[BaseChoice, Base]:
    """Loads and prepares held bases of a study; see ``load_base``."""
    options = study.options
    choose_algorithms(deterministic=options.engine.deterministic)
    source = _source_of(study, meta=meta, lean=not meta)
    found = {}
    for choice in wanted:
        if meta:
            place, dtype = torch.device("cpu"), torch.float32
        else:
            place = device_here = choose_device(device)
            dtype = choose_dtype(options.precision, place)
            if ranks().count > 1:
                place = torch.device("cpu")  # and from there, a layer at a time, in shards
            if device_here.index is not None:
                torch.cuda.set_device(device_here)  # for libraries that ask for "the" GPU
        base = found[choice] = Base(
            source, device=place, dtype=dtype, quantization=choice.quantization, probe=not meta
        )
        base.may_capture = options.engine.cuda_graph is not False
        if not meta and ranks().count > 1:
            base.shard(device_here)
    return found


def choice_of(study: Study, entry: MethodEntry | None = None) -> BaseChoice:
    """The held base that a method trains on; without one, that of the study itself."""
    own = None if entry is None else entry.quantization
    return BaseChoice(quantization=own or study.options.quantization)


def choices_of(study: Study) -> list[BaseChoice]:
    """The bases that a study holds, its own first."""
    found = [choice_of(study), *(choice_of(study, entry) for entry in study.entries)]
    return list(dict.fromkeys(found))


def load_plain(study: Study) -> PreTrainedModel:
    """The study's base as Transformers has it: on the CPU, in float32, with nothing replaced."""
    return _source_of(study).model


def _source_of(study: Study, *, meta: bool = False, lean: bool = False) -> Source:
    options = study.options
    return load_source(
        options.base,
        root=study.root,
        cache_dir=cache_folder(),
        trust_remote_code=options.trust_remote_code,
        revision=options.revision,
        meta=meta,
        lean=lean,
    )


def check_positions(study: Study, base: Base, methods: Mapping[str, Mapping[str, Method]]) -> None:
    """Holds lengths against the base's positions before anything is read.

    Raises:
        ConfigError: naming the option that asks for too many.
    """
    if base.max_positions is None:
        return
    asked = {"task": study.task, **{f"also_test.{k}": one.task for k, one in study.also.items()}}
    for where, task in asked.items():
        if task.options.max_length is None:  # chosen within what there is
            room_of(study, task, base, methods, where)
            continue
        _check_positions(study, task, where, base.max_positions, methods)


def _check_positions(
    study: Study, task: Task, where: str, limit: int, methods: Mapping[str, Mapping[str, Method]]
) -> None:
    options, generation = task.options, generation_of(study, task)
    if task.max_length > limit:
        raise ConfigError(
            f"{where}.max_length: {task.max_length} is more than the {limit} positions of "
            f"{study.options.base}; give at most {limit}"
        )
    written = generation.max_new_tokens if Ask.TEXT in task.asks else options.max_target_tokens
    prompt_room = task.max_length - options.max_target_tokens + written
    if prompt_room > limit:
        raise ConfigError(
            f"generation.max_new_tokens: {generation.max_new_tokens} after a prompt of up to "
            f"{task.max_length - options.max_target_tokens} tokens needs {prompt_room} "
            f"positions, but {study.options.base} has {limit}; shorten it or lower "
            f"{where}.max_length"
        )
    for name, method in ((n, m) for n, variants in methods.items() for m in variants.values()):
        needed = max(task.max_length, prompt_room) + method.extra_positions
        if needed > limit:
            raise ConfigError(
                f"methods.{name}.{method.length_option}: {method.extra_positions} positions before "
                f"{needed - method.extra_positions} tokens need {needed} positions, but "
                f"{study.options.base} has {limit}; shorten it or lower {where}.max_length"
            )


def room_of(
    study: Study,
    task: Task,
    base: Base,
    methods: Mapping[str, Mapping[str, Method]],
    where: str = "task",
) -> int | None:
    """Tokens of a row that every method has positions for on this base; None: any number.

    Raises:
        ConfigError: there is not even room for an answer.
    """
    if base.max_positions is None:
        return None
    options, before = task.options, [0]
    before += [m.extra_positions for variants in methods.values() for m in variants.values()]
    written = generation_of(study, task).max_new_tokens if Ask.TEXT in task.asks else 0
    room: int = base.max_positions - max(before) - max(0, written - options.max_target_tokens)
    if room < options.max_target_tokens + 2:
        raise ConfigError(
            f"{where}.max_target_tokens: {options.max_target_tokens} tokens of an answer, "
            f"{max(before)} positions that methods put before a row and {written} tokens that "
            f"generation may write do not fit the {base.max_positions} positions of "
            f"{study.options.base}; lower one of them"
        )
    return room


def prepare_data(study: Study, base: Base, methods: Mapping[str, Mapping[str, Method]]) -> TaskData:
    """Reads, cleans, cuts and tokenises the study's data, or takes them from the cache."""
    data = prepare(
        study.task,
        base.tokenizer,
        root=study.root,
        cache_dir=cache_folder() / "data",
        tokenizer_id=study.options.base,
        room=room_of(study, study.task, base, methods),
    )
    for split, part in data.splits.items():
        check_embedded(base, part, f"task: {split}")
    return data


def open_workbench(
    study: Study, device: str, *, meta: bool = False, alone: str | None = None
) -> Workbench:
    """Loads everything; all errors of the study come before the first step of training.

    Args:
        study: what is loaded. device: where to.
        meta: takes the base's shapes alone, which can be traced and not run.
        alone: the one method that is of interest: no other base than the one that it trains on is
            held, and all methods are made on that.
    """
    if alone is not None:
        entry = next(entry for entry in study.entries if entry.name == alone)
        return workbench_of(
            study, load_base(study, device, meta=meta, choice=choice_of(study, entry))
        )
    bases = load_bases(study, device, meta=meta, wanted=choices_of(study))
    check_sharing(study)
    for entry in study.entries:
        check_quantized(entry, bases[choice_of(study, entry)].quantization)
    return workbench_of(study, bases[choice_of(study)], bases=bases)


def check_sharing(study: Study) -> None:
    """Refuses what several processes of one run cannot share.

    Raises:
        ConfigError: a method changes a copy of the base, or a judge is asked.
    """
    if ranks().count == 1:
        return
    for entry in study.entries:
        if entry.kind == "peft":
            raise ConfigError(
                f"methods.{entry.name}: {entry.kind} changes a copy of the base, which is not "
                "shared out among processes; leave it out, or start one process without torchrun"
            )
    if study.options.judge is not None:
        raise ConfigError(
            "judge: is asked by one process, and torchrun has started "
            f"{ranks().count}; leave it out, and add it to the finished run without torchrun"
        )


def workbench_of(
    study: Study,
    base: Base,
    *,
    bases: Mapping[BaseChoice, Base] | None = None,
    methods: Mapping[str, Mapping[str, Method]] | None = None,
    data: TaskData | None = None,
) -> Workbench:
    """The study on a base that is loaded already; see ``open_workbench``.

    Args:
        study: what is loaded. base: the study's own.
        bases: the held bases on which methods act, by choice; None has all of them on ``base``.
        methods: made already, by name and variant. data: prepared already.
    """
    if methods is None:
        methods = {
            entry.name: entry.build((bases or {}).get(choice_of(study, entry), base))
            for entry in study.entries
        }
    if data is None:
        check_positions(study, base, methods)
        data = prepare_data(study, base, methods)
    options, task = study.options, with_found(study.task, data.found)
    return Workbench(
        name=options.name,
        base=base,
        data=data,
        entries=study.entries,
        methods=methods,
        task=task,
        protocol=options.protocol,
        generation=options.generation.also_stopping_at(task.stop_tokens),
        engine=options.engine,
        slots=options.slots,
        precision=options.precision,
        bases=bases or {},
        baselines=study.baselines,
        shots=_shot_data(study, base, task, data),
        also={
            name: _test_set(study, base, name, found, data, methods)
            for name, found in study.also.items()
        },
        curve=curve_of(study, task, data),
        entrants=open_entrants(study, base, task, data),
    )


def _test_set(
    study: Study,
    base: Base,
    name: str,
    found: AlsoTest,
    data: TaskData,
    methods: Mapping[str, Mapping[str, Method]],
) -> TestSet:
    """A further test set with its rows."""
    where, options = f"also_test.{name}", study.options
    prepared = prepare_test(
        found.task,
        base.tokenizer,
        where=where,
        root=study.root,
        cache_dir=cache_folder() / "data",
        tokenizer_id=options.base,
        trained=data.found if found.is_like_task else None,
        room=room_of(study, found.task, base, methods, where),
    )
    task, part = prepared.task, prepared.data
    check_embedded(base, part, where)
    warnings = [
        *prepared.warnings,
        *seen_in_training(where, task.input_word, data.splits["train"].shown, part.shown),
    ]
    return TestSet(
        task=task,
        data=part,
        plan=plan_of(part, task.max_length, task, base, options.protocol),
        generation=generation_of(study, task).also_stopping_at(task.stop_tokens),
        max_drop=found.max_drop,
        methods=found.methods,
        warnings=tuple(warnings),
    )


def generation_of(study: Study, task: Task) -> GenerationOptions:
    """How a task's answers are written: of a further set of another kind as that kind's are."""
    options = study.options.generation
    return options if task.kind == study.task.kind else generation_for(task, options, {})


def sources_of(study: Study) -> list[str] | None:
    """What the files of a study's base and data are known by, without loading them.

    None where one of them is not a file or a folder here, or is not there any more.
    """
    places = named_files(study.task.options.source)
    for one in study.also.values():
        places += named_files(one.task.options.source)
    if any(place != WIRE and not is_there(place, study.root) for place in places):
        return None
    try:
        found = open_source(study.task.options, {}, root=study.root).fingerprint()
        for one in study.also.values():
            found += open_test_source(one.task.options, {}, root=study.root).fingerprint()
    except BakeoffError:
        return None
    base = study.root / study.options.base
    files = sorted(file for file in base.iterdir() if file.is_file()) if base.is_dir() else []
    for entry in study.externals:
        files += files_of(entry, study.root)
    try:
        stats = [(file.name, file.stat()) for file in files]
    except OSError:
        return None
    return [*found, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]


def _shot_data(study: Study, base: Base, task: Task, data: TaskData) -> ShotData | None:
    """Where a baseline wants solved examples before its prompts."""
    if not any(baseline.shots for baseline in study.baselines):
        return None
    room = base.max_positions
    if room is not None and Ask.TEXT in task.asks:
        written = study.options.generation.max_new_tokens
        room -= max(0, written - task.options.max_target_tokens)
    return ShotData(
        task,
        base.tokenizer,
        tokenizer_id=study.options.base,
        root=study.root,
        positions=room,
        zero={split: data.splits[split] for split in ("validation", "test")},
    )


def schedule_of(study: Study, bench: Workbench) -> StudySchedule:
    """The study's first candidates, in its order; nothing is written down yet."""
    return first_candidates(bench, study.options.search, selection_of(study, bench))


def selection_of(study: Study, bench: Workbench) -> Selection | None:
    """By what settings are chosen; None for the validation NLL, which training follows anyway.

    By the metric that decides, unless ``task.select_by`` names another.
    """
    metrics = {metric.name: metric for metric in bench.task.metrics}
    deciding = study.options.decision.metric or bench.task.metrics[0].name
    metric = metrics[study.task.options.select_by or deciding]
    if is_judged(metric):
        metric = metrics[NLL]  # a judge is asked on test rows alone
    if metric.name == NLL or study.options.search is None:
        return None
    is_text = metric.asks is Ask.TEXT
    num_rows = len(bench.data.splits["validation"])
    return Selection(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        among=BEST_BY_NLL if is_text else None,
        rows=min(ROWS_OF_TEXT, num_rows) if is_text else num_rows,
    )


def deciding_before_judging(study: Study, bench: Workbench) -> str:
    """The metric that decides, or NLL where a judge does, whose scores come last."""
    name = study.options.decision.metric or bench.task.metrics[0].name
    metric = next(metric for metric in bench.task.metrics if metric.name == name)
    return NLL if is_judged(metric) else name
