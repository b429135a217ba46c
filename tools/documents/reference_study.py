"""The reference of a study: every key of its file, from the classes that check it."""

from __future__ import annotations

from tools.documents.fields import Field, fields_of, summary
from tools.documents.tables import slug, table

from bakeoff.methods.external import ExternalOptions
from bakeoff.methods.registry import method_specs
from bakeoff.metrics.registry import metric_names
from bakeoff.study.options import StudyOptions
from bakeoff.tasks.contract import FEW_SHOT, ZERO_SHOT
from bakeoff.tasks.registry import read_task, task_kinds, task_type

_OF_EVERY_METHOD = (
    ("kind", "text", "the method's name", "Which method; may be left out where its name is one."),
    (
        "learning_rate",
        "number, or list of number",
        "the method's",
        "Of AdamW. A list is searched over.",
    ),
    (
        "quantization",
        "`none`, `int8` or `nf4`",
        "the study's",
        "In what the base's linear layers are held for this method.",
    ),
)
_OF_A_FURTHER_SET = (
    "`also_test.NAME` takes the keys of a task of its kind (the study's own where it names none), "
    "and `max_drop`, a mapping of metrics to numbers: what a recommended method may lose on it "
    "against `zero_shot`, at most."
)


def study_page() -> str:
    """All keys, as Markdown."""
    parts = [
        "# Every key of a study\n",
        "A study is one YAML file. `--set KEY=VALUE` changes a key by its path, which is the one "
        "shown here, such as `--set protocol.epochs=3`. A key that is none of these is an error "
        "that names the nearest. `bakeoff init` writes a study, and `study.yaml` in a run's folder "
        "has every default written out.\n",
        "## Of the study itself\n",
        _table(fields_of(StudyOptions), ""),
    ]
    for field in fields_of(StudyOptions):
        for cls in field.classes:
            parts += _section(cls, field.name)
    parts += _tasks()
    parts += _methods()
    parts += [
        "## `also_test`: a further test set\n",
        _OF_A_FURTHER_SET + "\n",
        "## `task.metrics`: names\n",
        ", ".join(f"`{name}`" for name in metric_names()) + ".\n",
    ]
    return "\n".join(parts)


def _section(cls: type, path: str) -> list[str]:
    """A class of options and those in it."""
    fields = fields_of(cls)
    parts = [f"## `{path}`\n", summary(cls) + "\n", _table(fields, f"{path}.")]
    for field in fields:
        for inner in field.classes:
            place = f"{path}.{field.name}"
            if field.kind.startswith("mapping"):
                place += ".KEY"
            parts += _section(inner, place)
    return parts


def _tasks() -> list[str]:
    """What all kinds of task have, then of each kind what is its own."""
    kinds = {kind: task_type(kind).options_type for kind in task_kinds()}
    first = next(iter(kinds.values()))
    common = next(base for base in first.__mro__ if base.__name__ == "TaskOptions")
    shared = fields_of(common)
    known = {field.name: field for field in shared}
    parts = ["## `task`: of every kind\n", summary(common) + "\n", _table(shared, "task.")]
    for field in shared:
        for cls in field.classes:
            parts += _section(cls, f"task.{field.name}")
    for kind, cls in kinds.items():
        own = [field for field in fields_of(cls) if field != known.get(field.name)]
        task = read_task({"kind": kind, "source": "rows.jsonl"})
        baselines = {*task.all_baselines, ZERO_SHOT.name}
        if task.takes_shots:
            baselines.add(FEW_SHOT.name)
        parts += [
            f"## `task` of the kind `{kind}`\n",
            summary(type(task)) + "\n",
            _table([field for field in own if field.name != "kind"], "task."),
            f"Its baselines: {', '.join(f'`{name}`' for name in sorted(baselines))}.\n",
        ]
        for field in own:
            for inner in field.classes:
                parts += _section(inner, f"task.{field.name}")
    return parts


def _methods() -> list[str]:
    rows = [(f"`methods.NAME.{key}`", kind, why, what) for key, kind, why, what in _OF_EVERY_METHOD]
    parts = [
        "## `methods`: of every method\n",
        table(("key", "type", "default", "meaning"), rows),
    ]
    for kind, spec in method_specs()[0].items():
        parts += [
            f"## `methods` of the kind `{kind}`\n",
            f"{spec.title[0].upper()}{spec.title[1:]} ({spec.paper}). It trains {spec.formula}. "
            f"Learning rate: {spec.default_learning_rate:g} ({spec.learning_rate_source}).\n",
            _table(fields_of(spec.options_type), "methods.NAME."),
        ]
        for field in fields_of(spec.options_type):
            for cls in field.classes:
                parts += _section(cls, f"methods.NAME.{field.name}")
        if spec.family_option:
            parts.append(
                f"Further options depend on `{spec.family_option}`: `bakeoff methods {kind} "
                "--json` has those of the installed library.\n"
            )
    return [
        *parts,
        "## `methods` of the kind `external`\n",
        summary(ExternalOptions) + "\n",
        _table(fields_of(ExternalOptions), "methods.NAME."),
    ]


def _table(fields: tuple[Field, ...] | list[Field], path: str) -> str:
    """A row for each field; a section says where its own keys are."""
    if not fields:
        return "It has no keys of its own.\n"
    rows = []
    for field in fields:
        default = "must be given" if field.default is None else f"`{field.default}`"
        kind = field.kind
        for cls in field.classes:
            below = f"{path}{field.name}{'.KEY' if kind.startswith('mapping') else ''}"
            kind = kind.replace(f"`{cls.__name__}`", f"[keys](#{slug(below)})")
        rows.append(
            (f"`{path}{field.name}`", kind, "" if default == "``" else default, field.meaning)
        )
    return table(("key", "type", "default", "meaning"), rows)
