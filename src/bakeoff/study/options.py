"""A study's options, from YAML and overrides to checked dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from bakeoff.base.weights.references import SMOLLM2_REFERENCE, TINY_REFERENCE
from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.config import apply_overrides, from_mapping, load_yaml, to_mapping
from bakeoff.config.numbers import check_numbers
from bakeoff.config.yaml_file import blank_keys
from bakeoff.data.sources import STDIN, WIRE, is_there, renamed
from bakeoff.decide.options import DecisionOptions
from bakeoff.decide.prices import PriceOptions
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.options import AdaptiveSeeds, EngineOptions, ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import MethodEntry as MethodEntry
from bakeoff.methods.entries import check_name, check_quantized, entry_of
from bakeoff.methods.external import FORMS, ExternalEntry, external_of, is_external
from bakeoff.metrics.judge import JudgeOptions
from bakeoff.metrics.registry import MAIN_OPTIONS
from bakeoff.runs.folder import DATA_FOLDER
from bakeoff.runs.growth import given_rows_in
from bakeoff.search.options import SearchOptions, without_password
from bakeoff.search.settings import searched_entries
from bakeoff.study.also import AlsoTest, read_also
from bakeoff.study.crossed import Crossing, crossed
from bakeoff.study.crossing import BASES, TEMPLATES, levels_of, located
from bakeoff.study.defaults import parameters_for, protocol_for
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.judge_options import (
    check_judge,
    move_judge,
    with_judge_options,
    without_judge,
    without_judge_options,
)
from bakeoff.study.sizes import sorted_sizes
from bakeoff.tasks.baselines import read_baselines
from bakeoff.tasks.contract import Baseline, Task
from bakeoff.tasks.registry import read_task
from bakeoff.types import Precision, Quantization

TrackerName = Literal["tensorboard", "trackio", "wandb"]
_DEMO = "demo.yaml"
_MOST_SLOTS = 65536
_MOST_BYTES = 10_000_000
"""Of a study's file."""
_KEPT_AS = "study.yaml"
"""In a run's folder."""
# These never mean a folder, whatever is beside the study.
_RESERVED = frozenset({TINY_REFERENCE, SMOLLM2_REFERENCE, *FAMILY, WIRE, STDIN})


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Everything that decides a study's results."""

    name: str
    """Names the run's folder: letters, digits, dot, dash and underscore."""
    base: str
    """Hub id, folder, ``tiny``, ``smollm2-135m`` or ``scratch:...``."""
    bases: dict[str, Any] | None = None
    """Instead of ``base`` several, which every method is trained over: [smollm2-135m, tiny], or
    {NAME: tiny, OTHER: {base: ..., revision: ..., quantization: nf4}}."""
    templates: dict[str, str] | None = None
    """Layouts that every method is trained with, instead of the task's own: {short: "{body} {tag}",
    long: ...}, columns of the data in braces, what is learnt last."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    trust_remote_code: bool = False
    """Whether code beside the base may run."""
    task: dict[str, Any]
    """Its ``kind``, where the data come from, and what is made of them."""
    baselines: tuple[str | dict[str, Any], ...] | None = None
    """What takes part without training: zero_shot, few_shot, lead, majority, random; null takes the
    kind's own. {few_shot: {shots: [1, 2]}} says how many training rows are tried."""
    also_test: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further test sets by name, each with a ``source`` and the keys of a task of its ``kind``; one
    of the study's own kind takes the task's keys. ``max_drop: {nll: 0.05}`` is what a recommended
    method may lose on it against zero_shot, at most."""
    learning_curve: tuple[int, ...] = ()
    """Numbers of training rows, such as [64, 256, 1024]: each method's chosen setting is trained on
    nested subsets of these sizes besides, which draws quality against rows."""
    protocol: ProtocolOptions = field(default_factory=ProtocolOptions)
    """How every candidate is trained; epochs and rows of an update start from the task's kind."""
    methods: dict[str, dict[str, Any]]
    """For each name a ``kind``, a ``learning_rate`` (where there is none, the default for a base
    of this size), a ``quantization`` (the study's, where there is none) and the method's own
    options; null leaves it out."""
    search: SearchOptions | None = None
    """How each method's learning rate is found; null: every method comes with its own."""
    decision: DecisionOptions = field(default_factory=DecisionOptions)
    """What counts as better, as equal and as sure."""
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    """How answers to the test rows are written."""
    judge: JudgeOptions | None = None
    """Who judges the answers where ``task.metrics`` has ``judge``, and by what; nothing is sent
    anywhere but to its ``endpoint``."""
    slots: int | Literal["auto"] = "auto"
    """Candidates in one training pass."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """How passes are computed."""
    precision: Precision = "auto"
    """In what the frozen base computes."""
    quantization: Quantization = "none"
    """In what its linear layers are held: none, int8 or nf4 (bitsandbytes, the extra
    ``quantization``); a method may have its own. The embedding and the head stay as they are."""
    prices: PriceOptions = field(default_factory=PriceOptions)
    """What costs are in money; it may change between calls."""
    checkpoint_minutes: float = 10.0
    """Longest training inside an epoch that a crash can cost; it may change between calls."""
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)
    """Where jobs run; it may change between calls."""
    track: tuple[TrackerName, ...] = ()
    """Where else the curves are written while it runs: tensorboard, trackio, wandb; it may change
    between calls."""

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not self.methods:
            raise ConfigError(
                "methods: there is none; name at least one, such as lora: {kind: lora}"
            )
        if isinstance(self.slots, int) and not 1 <= self.slots <= _MOST_SLOTS:
            raise ConfigError(
                f"slots: {self.slots} is out of range; give auto or a number from 1 to "
                f"{_MOST_SLOTS}"
            )
        if len(set(self.track)) < len(self.track):
            raise ConfigError(f"track: {list(self.track)} names a tracker twice; name each once")
        object.__setattr__(self, "learning_curve", sorted_sizes(self.learning_curve))
        if not self.checkpoint_minutes > 0:
            raise ConfigError(
                f"checkpoint_minutes: {self.checkpoint_minutes} is not above 0; give minutes, such "
                "as 10"
            )
        # Two names that differ in case alone are one folder on some file systems.
        first: dict[str, str] = {}
        for name in self.methods:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                raise ConfigError(
                    f"methods.{name}: {name!r} and {other!r} differ in capital letters alone, and "
                    "would be one folder where these do not count; rename one"
                )


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study ready to run.

    Attributes:
        options: as checked. task: what is learnt. entries: its methods, in order.
        root: the folder that relative paths start from.
        baselines: what takes part without training. also: further test sets, by name.
        externals: entrants that were made elsewhere.
        crossing: of a study with ``bases`` or ``templates`` its parts; all else is then of the
            first one, and its methods have their plain names.
    """

    options: StudyOptions
    task: Task
    entries: tuple[MethodEntry, ...]
    root: Path
    baselines: tuple[Baseline, ...]
    also: Mapping[str, AlsoTest] = field(default_factory=dict)
    externals: tuple[ExternalEntry, ...] = ()
    crossing: Crossing | None = None

    def with_source(self, source: str) -> Study:
        """The study with its task's rows in another place."""
        task = {**self.options.task, "source": source}
        crossing = self.crossing
        if crossing is not None:
            moved = [replace(c, study=c.study.with_source(source)) for c in crossing.cells]
            crossing = replace(crossing, cells=tuple(moved))
        return replace(
            self,
            options=replace(self.options, task=task),
            task=_task_of(task, self.options.judge),
            crossing=crossing,
        )

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole study as a plain mapping with every default written out, but no password."""
        mapping = to_mapping(self.options)
        mapping["task"] = without_judge_options(to_mapping(self.task.options))
        mapping["also_test"] = {name: found.resolved for name, found in self.also.items()}
        for key in (BASES, TEMPLATES):
            if mapping[key] is None:
                del mapping[key]
        if self.crossing is not None:
            mapping = self.crossing.resolved(mapping, self.options.also_test)
        found = {entry.name: _resolved(entry) for entry in self.entries}
        found |= {entry.name: entry.resolved for entry in self.externals}
        mapping["methods"] = {name: found[name] for name in self.options.methods if name in found}
        search = self.options.search
        if search is not None:
            del mapping["search"]["seeds"]  # they are the protocol's
            if search.storage is not None:
                mapping["search"]["storage"] = without_password(search.storage)
        return mapping


def _resolved(entry: MethodEntry) -> dict[str, Any]:
    first = {key: values[0] for key, values in entry.listed.items()}
    options = to_mapping(entry.spec.read_options({**entry.given, **first}))
    rate = entry.learning_rate if entry.rates is None else list(entry.rates)
    held = {} if entry.quantization is None else {"quantization": entry.quantization}
    return {"kind": entry.kind, "learning_rate": rate, **held, **options, **entry.listed}


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
    for name in blank_keys(text, "methods"):
        raise ConfigError(
            f"methods.{name}: nothing follows it in {path}; give {{}} for the method's defaults, "
            "or null to leave it out"
        )
    if is_run:
        mapping = _without_second_name_of_seeds(mapping)
    study = study_from_mapping(mapping, overrides, folder=path.parent, seeds=seeds)
    storage = study.options.search and study.options.search.storage
    if is_run and storage and "***" in storage:
        raise ConfigError(
            f"search.storage: {path} keeps no password; give the whole URL with --set "
            "search.storage=URL"
        )
    return study


def study_from_mapping(
    mapping: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    folder: Path,
    seeds: int | None = None,
) -> Study:
    """Checks a study given as a plain mapping; see ``load_study``."""
    merged = apply_overrides(mapping, overrides)
    if seeds is not None:
        if isinstance(merged.get("search"), dict):
            merged["search"].pop("seeds", None)
        merged = apply_overrides(merged, [f"protocol.seeds={seeds}"])
    check_numbers(merged)
    _locate(merged, folder)
    _move_other_keys(merged)
    if isinstance(merged.get("methods"), dict):
        # So that --set methods.full=null leaves a method of the file out.
        merged["methods"] = {name: of for name, of in merged["methods"].items() if of is not None}
    levels = levels_of(merged)
    if levels is not None:
        return crossed(merged, levels, lambda one: study_from_mapping(one, folder=folder))
    options = _with_one_name_of_seeds(from_mapping(StudyOptions, merged), merged)
    check_judge(options.judge, options.task, options.prices)
    task = _task_of(options.task, options.judge)
    options = replace(
        options,
        protocol=protocol_for(task.starting, options.protocol, merged.get("protocol") or {}),
    )
    scored_by = [metric.name for metric in task.metrics_before_rows]
    baselines = read_baselines(task, options.baselines)
    also = read_also(options.also_test, task, without_judge(options.task), baselines)
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


def _task_of(given: Mapping[str, Any], judge: JudgeOptions | None) -> Task:
    """The study's task; its metric ``judge`` knows who judges."""
    return read_task(with_judge_options(given, judge))


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


def recorded(mapping: Mapping[str, Any], *, folder: Path) -> Study:
    """A study as a run's folder keeps it, by whatever version of this program.

    Args:
        mapping: the resolved study. folder: where its relative paths may start.

    Raises:
        ConfigError: where it has keys that this version does not know.
    """
    return study_from_mapping(_without_second_name_of_seeds(mapping), folder=folder)


def _without_second_name_of_seeds(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first edition wrote both: the protocol's seeds, and how many of them a search takes."""
    search, protocol = mapping.get("search"), mapping.get("protocol")
    if isinstance(search, Mapping) and isinstance(protocol, Mapping) and "seeds" in protocol:
        return {**mapping, "search": {k: v for k, v in search.items() if k != "seeds"}}
    return mapping


def _locate(merged: dict[str, Any], folder: Path) -> None:
    """Makes a relative source or base beside the study's file reachable from here."""

    def found(value: Any) -> Any:
        if not isinstance(value, str) or value in _RESERVED or not value.strip("./"):
            return value
        if is_there(value, Path.cwd()):
            return value
        places = [folder / value]
        if given := given_rows_in(value):  # of a folder that was moved
            places.append(folder / DATA_FOLDER / given)
        return next((str(place) for place in places if is_there(str(place), Path.cwd())), value)

    merged["base"] = found(merged.get("base"))
    if merged["base"] is None and merged.get(BASES) is not None:
        del merged["base"]
    located(merged, found)
    methods = merged.get("methods")
    for name, given in methods.items() if isinstance(methods, dict) else ():
        if is_external(name, given):
            given |= {form: renamed(given[form], found) for form in FORMS if form in given}
    judge = merged.get("judge")
    if isinstance(judge, dict) and isinstance(judge.get("votes"), str):
        merged["judge"] = {**judge, "votes": found(judge["votes"])}
    also = merged.get("also_test")
    for task in (merged.get("task"), *(also.values() if isinstance(also, dict) else ())):
        if isinstance(task, dict) and "source" in task:
            task["source"] = renamed(task["source"], found)
        if isinstance(task, dict) and isinstance(task.get("metrics"), list | tuple):
            task["metrics"] = [_located_metric(entry, found) for entry in task["metrics"]]


def _located_metric(entry: Any, found: Callable[[Any], Any]) -> Any:
    """A metric whose file is beside the study, with a path that is reachable from here."""
    if isinstance(entry, str):
        name, colon, value = entry.partition(":")
        if not colon or name not in MAIN_OPTIONS:
            return entry
        return {name: _located_file(value.strip(), found)}
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, given)] = entry.items()
        if name in MAIN_OPTIONS and isinstance(given, str):
            return {name: _located_file(given, found)}
        main = MAIN_OPTIONS.get(name)
        if isinstance(given, dict) and isinstance(given.get(main), str):
            return {name: {**given, main: _located_file(given[main], found)}}
    return entry


def _located_file(value: str, found: Callable[[Any], Any]) -> str:
    """``FILE`` or ``FILE.py:FUNCTION``."""
    file, colon, function = value.rpartition(":")
    return f"{found(file)}:{function}" if colon and file.endswith(".py") else str(found(value))
