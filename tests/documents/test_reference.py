"""The reference has every key, command, record, error and exit code, and says what each means."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tools.documents.diagrams import drawn
from tools.documents.fields import fields_of
from tools.documents.offline import make_offline
from tools.documents.recorded import RECORDED
from tools.documents.reference_others import (
    commands,
    commands_page,
    errors_page,
    record_classes,
    records_page,
)
from tools.documents.reference_study import study_page
from tools.documents.stage import ROOT

from bakeoff import errors
from bakeoff.cli.exit_codes import MEANINGS
from bakeoff.methods.registry import method_kinds, spec_of
from bakeoff.runs.records import Results
from bakeoff.runs.schema import shipped_schema
from bakeoff.study.loading import load_study
from bakeoff.study.options import StudyOptions
from bakeoff.tasks.registry import task_kinds, task_type


@pytest.fixture(scope="module")
def study() -> str:
    return study_page()


def leaves(tree: Any, path: str = "") -> set[str]:
    """The keys of a mapping by their paths."""
    if not isinstance(tree, dict) or not tree:
        return {path}
    return {leaf for key, value in tree.items() for leaf in leaves(value, f"{path}.{key}")}


def test_every_key_of_a_resolved_study_is_there(study: str) -> None:
    resolved = load_study(None).resolved
    for leaf in leaves({k: v for k, v in resolved.items() if k != "methods"}):
        assert f"`{leaf.removeprefix('.')}`" in study, leaf
    for method in resolved["methods"].values():
        for key in method:
            assert f"`methods.NAME.{key}`" in study


def test_every_option_of_every_kind_is_there_with_its_meaning(study: str) -> None:
    types: list[type] = [StudyOptions, *(task_type(kind).options_type for kind in task_kinds())]
    types += [spec_of(kind, where="").options_type for kind in method_kinds()]
    while types:
        cls = types.pop()
        for field in fields_of(cls):
            assert f".{field.name}`" in study or f"`{field.name}`" in study
            assert field.meaning, f"{cls.__name__}.{field.name} has no string below it"
            types += field.classes


def test_every_command_and_option_is_there() -> None:
    page = commands_page()
    for name, command in commands():
        assert f"## `bakeoff {name}`" in page
        for parameter in command.params:
            if parameter.name != "help" and parameter.opts[0].startswith("--"):
                assert parameter.opts[0] in page
                assert parameter.help, f"{name} {parameter.opts[0]} has no help"


def test_every_record_that_the_schema_has_is_there() -> None:
    page = records_page()
    for name, record in shipped_schema()["$defs"].items():
        if record.get("type") == "object":
            assert f"\n## {name}\n" in page, name
    for cls in record_classes():
        for field in dataclasses.fields(cls):
            assert f"| `{field.name}` |" in page
    assert Results in record_classes()


def test_every_error_and_exit_code_is_there() -> None:
    page = errors_page()
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.BakeoffError):
            assert f"| `{name}` |" in page
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in page


def test_fields_that_share_a_line_of_a_docstring_share_its_meaning() -> None:
    meanings = {field.name: field.meaning for field in fields_of(record_of("SearchRecord"))}
    assert meanings["rungs"].startswith("epochs after which")
    meanings = {field.name: field.meaning for field in fields_of(record_of("Estimate"))}
    assert meanings["low"] == meanings["high"] == "bounds, None where no interval is known."


def record_of(name: str) -> type:
    return next(cls for cls in record_classes() if cls.__name__ == name)


def test_the_readme_says_what_the_recorded_demo_found() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = json.loads((RECORDED / "demo" / "results.json").read_text(encoding="utf-8"))
    everyone = {**results["methods"], **results["baselines"]}
    for name, of in everyone.items():
        for metric, factor, digits in (("nll", 1, 3), ("rouge1", 100, 1)):
            if metric in of["test"] and name != "lead":
                assert f"{of['test'][metric]['mean'] * factor:.{digits}f}" in readme, (name, metric)
    for method in results["methods"].values():
        assert f"{method['cost']['trainable_parameters']:,}" in readme
        assert f"| {method['cost']['epoch_seconds']['mean']:.1f} |" in readme


def test_a_chart_is_drawn_with_all_its_boxes() -> None:
    chart = 'flowchart TD\n    a["One & two"] --> b["Three"]\n    b -->|"back"| a\n'
    svg = drawn(chart)
    assert svg.count("<rect") == 2 and "One &amp; two" in svg and ">back<" in svg
    with pytest.raises(ValueError, match="is not an arrow"):
        drawn("flowchart TD\n    a ==> b\n")


def test_a_page_that_asks_elsewhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a" / "page.html"
    page.parent.mkdir()
    page.write_text(
        '<script src="https://unpkg.com/iframe-worker/shim"></script>'
        '<link rel="canonical" href="https://example.org/"><a href="https://example.org">x</a>',
        encoding="utf-8",
    )
    assert make_offline(tmp_path) == []
    assert 'src="../assets/worker.js"' in page.read_text(encoding="utf-8")
    page.write_text('<img src="//example.org/x.png">', encoding="utf-8")
    assert len(make_offline(tmp_path)) == 1


def test_every_chart_of_the_pages_can_be_drawn() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for chart in re.findall(
            r"^```mermaid\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            assert drawn(chart).startswith('<div class="diagram">')
