"""``bases`` and ``templates`` as a study's file says them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.runs.growth import growth_of
from bakeoff.study.growing import outline_of
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.study import Study

STUDY: dict[str, Any] = {
    "name": "crossed",
    "bases": ["tiny", "smollm2-135m"],
    "templates": {"short": "{body} {tag}", "long": "Read: {body}\nKind: {tag}"},
    "task": {"kind": "complete", "source": "rows.csv", "prompt": "body", "completion": "tag"},
    "protocol": {"epochs": 1, "seeds": 3},
    "methods": {"lora": {"rank": 2, "learning_rate": 0.01}, "slow": {"kind": "lora"}},
}
JUDGE = {"endpoint": "http://127.0.0.1:1/v1", "model": "m"}
JUDGED = {**STUDY["task"], "metrics": ["rouge1", "judge"]}


def read(**changes: Any) -> Study:
    """The study with some keys changed; None removes one."""
    made = {key: value for key, value in {**STUDY, **changes}.items() if value is not None}
    return study_from_mapping(made, folder=Path.cwd())


def cells(study: Study) -> dict[str, Study]:
    assert study.crossing is not None
    return {cell.place.label: cell.study for cell in study.crossing.cells}


def test_every_method_is_in_every_cell() -> None:
    found = cells(read())
    assert list(found) == [
        *("tiny@short", "tiny@long", "smollm2-135m@short", "smollm2-135m@long"),
    ]
    for label, cell in found.items():
        base, _, layout = label.partition("@")
        assert [entry.name for entry in cell.entries] == [f"lora@{label}", f"slow@{label}"]
        assert [entry.kind for entry in cell.entries] == ["lora", "lora"]
        assert cell.options.base == base
        expected = {"short": "{prompt} {completion}", "long": "Read: {prompt}\nKind: {completion}"}
        assert cell.task.options.template == expected[layout]
        assert cell.task.columns == ("body", "tag")
        # So that what decides between cells is there; in a cell all is as it would be alone.
        assert "bits_per_byte" in [metric.name for metric in cell.task.metrics_before_rows]
        assert cell.options.decision.metric == "nll"


def test_one_factor_alone() -> None:
    bases = cells(read(templates=None))
    assert list(bases) == ["tiny", "smollm2-135m"]
    assert [entry.name for entry in bases["tiny"].entries] == ["lora@tiny", "slow@tiny"]
    layouts = cells(read(bases=None, base="tiny"))
    assert list(layouts) == ["short", "long"]
    assert all(cell.options.base == "tiny" for cell in layouts.values())
    assert list(cells(read(bases=["tiny"], templates=None))) == ["tiny"]


def test_bases_have_names_of_the_users_own() -> None:
    given = {
        "small": "tiny",
        "four_bits": {"base": "tiny", "quantization": "nf4"},
        "old": {"base": "org/tiny", "revision": "v1"},
    }
    study = read(bases=given, templates=None)
    found = cells(study)
    assert [c.options.quantization for c in found.values()] == ["none", "nf4", "none"]
    assert found["old"].options.revision == "v1"
    assert study.resolved["bases"] == given
    listed = cells(read(bases=[{"base": "org/my base", "quantization": "int8"}], templates=None))
    assert list(listed) == ["my-base-int8"]


def test_it_is_read_back_as_it_was_written() -> None:
    also = {"more": {"source": "more.csv"}}
    for study in (
        read(),
        read(also_test=also),
        read(templates=None),
        read(bases=None, base="tiny"),
        read(task=JUDGED, judge={**JUDGE, "against": "zero_shot@tiny@long"}),
    ):
        again = study_from_mapping(study.resolved, folder=Path.cwd())
        assert again.resolved == study.resolved
        now = {label: cell.resolved for label, cell in cells(again).items()}
        assert now == {label: cell.resolved for label, cell in cells(study).items()}
        # A cell is read by itself where it is measured, served and exported.
        for cell in cells(study).values():
            assert study_from_mapping(cell.resolved, folder=Path.cwd()).resolved == cell.resolved
    assert "base" not in read().resolved and "template" not in read().resolved["task"]
    assert (
        "bases"
        not in study_from_mapping(
            {**{k: v for k, v in STUDY.items() if k not in ("bases", "templates")}, "base": "tiny"},
            folder=Path.cwd(),
        ).resolved
    )


def test_what_names_parts_of_a_layout_is_kept_as_it_is_given() -> None:
    layouts = {"bare": "{title} {tag}", "whole": "{title}\n{body}\n{tag}"}
    study = read(templates=layouts, task={**STUDY["task"], "cut": "body", "target": "tag"})
    task = study.resolved["task"]
    assert (task["cut"], task["target"], task["prompt"]) == ("body", "tag", "body")
    cuts = {label: cell.task.options.cut for label, cell in cells(study).items()}
    assert cuts["tiny@whole"] == "prompt" and cuts["tiny@bare"] is None
    assert study_from_mapping(study.resolved, folder=Path.cwd()).resolved == study.resolved


def test_a_further_set_is_laid_out_as_its_cell_is() -> None:
    study = read(also_test={"more": {"source": "more.csv"}})
    for label, cell in cells(study).items():
        assert cell.also["more"].task.options.template == cell.task.options.template, label


def test_a_further_set_names_the_methods_of_each_cell() -> None:
    more = {"more": {"source": "more.csv", "methods": ["lora"]}}
    for label, cell in cells(read(also_test=more)).items():
        assert cell.also["more"].methods == (f"lora@{label}",)
    with pytest.raises(ConfigError, match=r"'fast' is no method of this study"):
        read(also_test={"more": {"source": "more.csv", "methods": ["fast"]}})


def test_entrants_from_elsewhere_take_part_once() -> None:
    methods = {**STUDY["methods"], "api": {"kind": "external", "predictions": "a.jsonl"}}
    found = cells(read(methods=methods))
    assert [[e.name for e in cell.externals] for cell in found.values()] == [["api"], [], [], []]


def test_a_study_grows_by_bases_and_prompts() -> None:
    first = outline_of(read().resolved)

    def grown(before: dict[str, Any], now: dict[str, Any]) -> Any:
        was = outline_of(read(**before).resolved) if before else first
        return growth_of(was, outline_of(read(**now).resolved) if now else first)

    more = {**STUDY["templates"], "other": "{body}\n{tag}"}
    assert not grown({}, {})
    assert not grown({}, {"templates": more}).refused
    assert not grown({}, {"bases": ["tiny"]}).refused
    changed = grown({}, {"templates": {**STUDY["templates"], "short": "{body}: {tag}"}})
    assert changed.refused and "lora@tiny@short.template" in changed.refused[0]
    assert grown({"bases": None, "base": "tiny"}, {"bases": ["tiny"]}).refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bases": []}, "bases: is empty"),
        ({"bases": "tiny"}, "bases = 'tiny': must be a list of bases"),
        ({"bases": [3]}, "bases[0] = 3: must be the id"),
        ({"bases": ["tiny", "tiny"]}, "bases: 'tiny' is listed twice"),
        ({"bases": ["a/Tiny", "b/tiny"]}, "would both be called"),
        ({"bases": {"x": {"base": "tiny", "bits": 4}}}, "bases.x.bits: there is no such key"),
        ({"bases": {"x": {"base": "tiny", "quantization": "q4"}}}, "bases.x.quantization: 'q4'"),
        ({"bases": {"a b": "tiny"}}, "bases.a b: 'a b' cannot name a folder"),
        ({"base": "tiny"}, "base: 'tiny' and bases are both given"),
        ({"revision": "v1"}, "revision: 'v1' is of one base"),
        ({"templates": {}}, "templates: is empty"),
        ({"templates": ["{body} {tag}"]}, "must be a mapping from names to layouts"),
        ({"templates": {"a": ""}}, "templates.a = '': must be a text"),
        ({"templates": {"a": "{tag} {body}"}}, "templates.a is '{tag} {body}': {body} comes after"),
        ({"templates": {"a": "{body} {tag}", "A": "{body}: {tag}"}}, "in capital letters alone"),
        ({"templates": {"a": "{body} {tag}", "b": "{body} {tag}"}}, "same as templates.a"),
        ({"methods": {"lora@x": {"kind": "lora"}}}, "methods.lora@x: '@' stands between"),
        ({"methods": {"lora": {"rnk": 2}}}, "methods.lora.rnk = 2: unknown key"),
        ({"decision": {"metric": "acc"}}, "decision.metric: 'acc' is not a metric"),
        (
            {"protocol": {"seeds": {"at_least": 3, "at_most": 10}}},
            "protocol.seeds: seeds that follow",
        ),
        ({"judge": JUDGE}, "judge: has no effect, as task.metrics has no judge"),
        ({"task": JUDGED}, "judge: is missing, as task.metrics has judge"),
        (
            {"task": JUDGED, "judge": {**JUDGE, "against": "lead"}},
            "judge.against: 'lead' is no baseline of this study; give one of reference, "
            "zero_shot@tiny@short, zero_shot@tiny@long, zero_shot@smollm2-135m@short and",
        ),
        ({"task": {**STUDY["task"], "template": "{prompt}{completion}"}}, "both lay rows out"),
        ({"task": {"kind": "chat", "source": "x"}}, "a task of the kind chat has no template"),
    ],
)
def test_what_breaks_a_rule_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    assert message in str(caught.value)
