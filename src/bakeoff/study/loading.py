"""A study's YAML file and its overrides become a checked study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bakeoff.config import apply_overrides, from_mapping, load_yaml, to_mapping
from bakeoff.config.former_names import present_overrides, with_present_names
from bakeoff.config.messages import nearest_names
from bakeoff.config.numbers import check_numbers
from bakeoff.config.yaml_file import blank_keys
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import check_quantized, entry_of
from bakeoff.methods.external import external_of, is_external
from bakeoff.methods.registry import method_kinds
from bakeoff.search.settings import searched_entries
from bakeoff.study.also import read_also
from bakeoff.study.crossed import crossed
from bakeoff.study.crossing import levels_of
from bakeoff.study.defaults import generation_for, parameters_for, protocol_for
from bakeoff.study.judge_options import (
    check_against,
    check_judge,
    move_judge,
    without_judge,
)
from bakeoff.study.locating import locate
from bakeoff.study.options import StudyOptions
from bakeoff.study.study import Study, task_of
from bakeoff.tasks.baselines import read_baselines

_DEMO: Final = "demo.yaml"
# Sections of named entries, of which null leaves one out, and what an entry is.
_NAMED: Final = {"methods": "method", "also_test": "test set"}
_MOST_BYTES: Final = 10_000_000
"""Of a study's file."""
_KEPT_AS: Final = "study.yaml"
"""In a run's folder."""


def load_study(
    path: Path | None, overrides: Sequence[str] = (), *, seeds: int | None = None
) -> Study:
    """Reads a study's file, or the embedded demo, and applies overrides.

    Args:
        path: of the file, or of a run's folder, or None for the demo.
        overrides: as ``--set`` gives them.
        seeds: the number of seeds of each method, whatever the study says.

    Relative paths start from the working directory; where nothing is there, from the folder of
    the study's file.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    if path is None:
        text = resources.files("bakeoff.study").joinpath(_DEMO).read_text(encoding="utf-8")
        demo = load_yaml(text, where=_DEMO)
        return study_from_mapping(demo, overrides, folder=Path.cwd(), seeds=seeds)
    is_run = path.is_dir()
    if is_run:
        path /= _KEPT_AS
        if not path.exists():
            raise ConfigError(
                f"{path.parent}: is a folder without {_KEPT_AS}, so it is not a run's; give the "
                "path of a study's YAML file, or a folder that `bakeoff run` made"
            )
    try:
        with path.open("rb") as file:  # which may be a device that never ends
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigError(
                f"{path}: is larger than {_MOST_BYTES:,} bytes, which no study is; give the path "
                "of a study's YAML file"
            )
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8; save the study as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: the study cannot be read ({error.strerror}); give the path of a YAML file, "
            "or none for the embedded demo"
        ) from None
    mapping: Mapping[str, Any] = load_yaml(text, where=str(path))
    for section, full in (("methods", "{} for the method's defaults"), ("also_test", "its keys")):
        for name in blank_keys(text, section):
            raise ConfigError(
                f"{section}.{name}: nothing follows it in {path}; give {full}, or null to leave "
                "it out"
            )
    if is_run:
        mapping = _without_second_name_of_seeds(mapping)
    study = study_from_mapping(mapping, overrides, folder=path.parent, seeds=seeds)
    if not is_run:
        check_judged_against(study)
        # A run's file does not have any more what the same command left out before.
        _check_left_out(mapping, overrides)
    storage = study.options.search and study.options.search.storage
    if is_run and storage and "***" in storage:
        raise ConfigError(
            f"search.storage: {path} keeps no password; give the whole URL with --set "
            "search.storage=URL"
        )
    return study


def check_judged_against(study: Study) -> None:
    """Holds what a judge compares with against the baselines of a study that somebody gives.

    What a run has recorded is not held so: a cell of a crossed study names a baseline of another
    cell.
    """
    if study.crossing is None:
        check_against(study.options.judge, [baseline.name for baseline in study.baselines])


def study_from_mapping(
    mapping: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    folder: Path,
    seeds: int | None = None,
) -> Study:
    """Checks a study given as a plain mapping; see ``load_study``."""
    check_numbers(mapping)  # before a key is renamed, so that the error has the name in the file
    merged = apply_overrides(with_present_names(mapping), present_overrides(overrides))
    if seeds is not None:
        if isinstance(merged.get("search"), dict):
            merged["search"].pop("seeds", None)
        merged = apply_overrides(merged, [f"protocol.seeds={seeds}"])
    check_numbers(merged)
    locate(merged, folder)
    _move_other_keys(merged)
    for section in _NAMED:
        if isinstance(merged.get(section), dict):
            # So that --set methods.full=null leaves a method of the file out.
            kept = {name: of for name, of in merged[section].items() if of is not None}
            merged[section] = kept
    if merged.get("also_test", ...) is None:
        del merged["also_test"]
    levels = levels_of(merged)
    if levels is not None:
        return crossed(merged, levels, lambda one: study_from_mapping(one, folder=folder))
    options = _with_one_name_of_seeds(from_mapping(StudyOptions, merged), merged)
    check_judge(options.judge, options.task, options.prices)
    task = task_of(options.task, options.judge)
    options = replace(
        options,
        protocol=protocol_for(task.starting, options.protocol, merged.get("protocol") or {}),
        generation=generation_for(task, options.generation, merged.get("generation") or {}),
    )
    scored_by = [metric.name for metric in task.metrics_before_rows]
    baselines = read_baselines(task, options.baselines)
    also = read_also(
        options.also_test, task, without_judge(options.task), baselines, options.methods
    )
    options.decision.check_metrics(
        scored_by,
        select_by=task.options.select_by,
        also={metric.name for one in also.values() for metric in one.task.metrics_before_rows},
    )
    may_search = options.search is not None
    parameters = parameters_for(
        options.methods,
        options.base,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
    )
    entries = tuple(
        entry_of(
            name,
            given,
            may_search=may_search,
            parameters=parameters,
            starting=task.starting,
        )
        for name, given in options.methods.items()
        if not is_external(name, given)
    )
    for entry in entries:
        check_quantized(entry, entry.quantization or options.quantization)
    externals = tuple(
        external_of(name, given)
        for name, given in options.methods.items()
        if is_external(name, given)
    )
    if not entries:
        raise ConfigError(
            "methods: all are external, so that nothing is trained; name a method to compare them "
            "with, such as lora: {kind: lora}"
        )
    if options.search is not None:
        entries = searched_entries(entries, options.search, options.protocol)
    names = {*task.all_baselines, *(baseline.name for baseline in task.baselines)}
    for name in options.methods:
        if name.replace("-", "_").lower() in names:
            raise ConfigError(
                f"methods.{name}: {name!r} names a baseline of {task.kind}; choose another name"
            )
    return Study(
        options=options,
        task=task,
        entries=entries,
        root=Path.cwd(),
        baselines=baselines,
        also=also,
        externals=externals,
    )


def recorded(mapping: Mapping[str, Any], *, folder: Path) -> Study:
    """A study as a run's folder keeps it, by whatever version of this program.

    Args:
        mapping: the resolved study. folder: where its relative paths may start.

    Raises:
        ConfigError: where it has keys that this version does not know.
    """
    return study_from_mapping(_without_second_name_of_seeds(mapping), folder=folder)


def _check_left_out(mapping: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuses ``methods.NAME=null`` and ``also_test.NAME=null`` where there is no such name."""
    merged = apply_overrides(with_present_names(mapping), present_overrides(overrides))
    for section, what in _NAMED.items():
        given, entries = mapping.get(section), merged.get(section)
        there = list(given) if isinstance(given, Mapping) else []
        # A kind of method may be left out of a study that does not have it, as a habit.
        may_lack = method_kinds() if section == "methods" else ()
        for name, of in entries.items() if isinstance(entries, Mapping) else ():
            if of is None and name not in (*there, *may_lack):
                near = nearest_names(name, there, most=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise ConfigError(
                    f"{section}.{name} = null: there is no such {what} to be left out{hint} "
                    f"The study has: {', '.join(there) or 'none'}"
                )


def _move_other_keys(merged: dict[str, Any]) -> None:
    """Takes keys that have another place, or had one in older studies, to where they belong.

    Raises:
        ConfigError: where both places name the metric that decides, and differ.
    """
    task = merged.get("task")
    if not isinstance(task, dict):
        return
    move_judge(merged)
    if "lead_sentences" in merged:
        task.setdefault("lead_sentences", merged.pop("lead_sentences"))
    if "decide_by" in task:
        merged["task"] = {key: value for key, value in task.items() if key != "decide_by"}
        decision = merged.get("decision") or {}
        if isinstance(decision, dict):
            named = decision.get("metric")
            if named not in (None, task["decide_by"]):
                raise ConfigError(
                    f"task.decide_by: {task['decide_by']!r} and decision.metric: {named!r} are two "
                    "names of one setting and differ; give decision.metric alone"
                )
            merged["decision"] = {**decision, "metric": task["decide_by"]}


def _with_one_name_of_seeds(options: StudyOptions, given: Mapping[str, Any]) -> StudyOptions:
    """``search.seeds`` under its other name.

    Raises:
        ConfigError: where both are given and differ.
    """
    search, protocol = options.search, options.protocol
    if search is None or search.seeds is None:
        return options
    meant = replace(protocol, seeds=search.seeds)
    is_given = "seeds" in (given.get("protocol") or {})
    is_same = meant.seeds == protocol.seeds or (
        not any(isinstance(one.seeds, AdaptiveSeeds) for one in (meant, protocol))
        and meant.seed_list == protocol.seed_list
    )
    if is_given and not is_same:
        here, there = (plain_seeds(one.seeds) for one in (meant, protocol))
        raise ConfigError(
            f"search.seeds: {here} and protocol.seeds: {there} are two names of one setting and "
            "differ; give protocol.seeds alone"
        )
    return replace(options, protocol=meant, search=replace(search, seeds=None))


def plain_seeds(seeds: int | tuple[int, ...] | AdaptiveSeeds) -> object:
    """Seeds as a study's file says them."""
    if isinstance(seeds, AdaptiveSeeds):
        return to_mapping(seeds)
    return seeds if isinstance(seeds, int) else list(seeds)


def _without_second_name_of_seeds(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first edition wrote both: the protocol's seeds, and how many of them a search takes."""
    search, protocol = mapping.get("search"), mapping.get("protocol")
    if isinstance(search, Mapping) and isinstance(protocol, Mapping) and "seeds" in protocol:
        return {**mapping, "search": {k: v for k, v in search.items() if k != "seeds"}}
    return mapping
