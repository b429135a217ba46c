"""From YAML and overrides to a checked study."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.methods.registry import METHODS
from bakeoff.study.loading import load_study, recorded, study_from_mapping
from bakeoff.study.study import Study

STUDIES = Path(__file__).parents[2] / "studies"


def given(**changes: Any) -> dict[str, Any]:
    return {
        "name": "given",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": {"lora": {"learning_rate": 1e-3}},
        **changes,
    }


def loaded(*overrides: str, **changes: Any) -> Study:
    return study_from_mapping(given(**changes), overrides, folder=Path.cwd())


def refusal(*overrides: str, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(*overrides, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("protocol.epochs=3", ("protocol", "epochs"), 3),
        ("protocol.patience=null", ("protocol", "patience"), None),
        ("protocol.patience=", ("protocol", "patience"), None),
        ("protocol.weight_decay=5e-3", ("protocol", "weight_decay"), 0.005),
        ("protocol.seeds=[3, 1]", ("protocol", "seeds"), [3, 1]),
        ("task.examples.train=7", ("task", "examples", "train"), 7),
        ("task.examples={test: 2}", ("task", "examples", "test"), 2),
        ("task.cleaning=[lowercase]", ("task", "cleaning"), ["lowercase"]),
        ("methods.lora.learning_rate=5e-3", ("methods", "lora", "learning_rate"), 0.005),
        ("methods.lora.target_modules=[q_proj]", ("methods", "lora", "target_modules"), ["q_proj"]),
        ("methods.lora.rank=4", ("methods", "lora", "rank"), 4),
        ("slots=auto", ("slots",), "auto"),
        ("slots=2", ("slots",), 2),
        ("trust_remote_code=true", ("trust_remote_code",), True),
        ('task.config="3.0.0"', ("task", "config"), "3.0.0"),
        ("search=null", ("search",), None),
    ],
)
def test_an_override_sets_any_option_by_its_path(
    override: str, path: tuple[str, ...], value: object
) -> None:
    found: Any = loaded(override).resolved
    for key in path:
        found = found[key]
    assert found == value and type(found) is type(value)


LORA_DEFAULTS = {
    "alpha": 32.0,
    "target_modules": "all-linear",
    "ranks": None,
    "alphas": None,
    "rank_stabilised": False,
    "dropout": 0.0,
    "loraplus_lr_ratio": 1.0,
    "init": "kaiming",
    "target_experts": False,
}


def test_an_override_adds_a_whole_method() -> None:
    study = loaded("methods.wide={kind: lora, rank: 32, learning_rate: 2e-3}")
    assert [entry.name for entry in study.entries] == ["lora", "wide"]
    assert study.resolved["methods"]["wide"] == {
        "kind": "lora",
        "learning_rate": 0.002,
        "rank": 32,
        **LORA_DEFAULTS,
    }


def test_an_override_replaces_all_methods() -> None:
    study = loaded("methods={full: {}}")
    assert [entry.kind for entry in study.entries] == ["full"]


def test_a_parent_that_is_null_is_made_from_its_defaults() -> None:
    study = loaded("generation.max_new_tokens=9", generation=None)
    assert study.options.generation.max_new_tokens == 9
    assert study.options.generation.strategy == "greedy"


def test_an_override_changes_the_embedded_demo() -> None:
    study = load_study(None, ["protocol.epochs=1"])
    assert study.options.name == "demo"
    assert study.options.protocol.epochs == 1


def test_defaults_are_written_out() -> None:
    resolved = loaded(methods={"soft_prompt": {}}).resolved
    assert resolved["protocol"] == {
        "epochs": 2,
        "micro_batch_size": 16,
        "grad_accum_steps": 2,
        "max_grad_norm": 1.0,
        "weight_decay": None,
        "betas": [0.9, 0.999],
        "optimizer_states": "32bit",
        "schedule": "linear",
        "warmup_ratio": 0.03,
        "patience": None,
        "seeds": 3,
    }
    assert resolved["methods"]["soft_prompt"] == {
        "kind": "soft_prompt",
        "learning_rate": 3e-2,
        "prompt_length": 20,
        "init": "vocabulary",
    }
    assert resolved["generation"]["no_repeat_ngram"] == 3
    assert resolved["search"] is None
    again = study_from_mapping(resolved, folder=Path.cwd())
    assert again.resolved == resolved


@pytest.mark.parametrize(
    "more", [{"source": "letters.jsonl"}, {"kind": "text", "source": "plain.jsonl"}]
)
def test_a_resolved_study_with_a_further_test_set_is_read_again(more: dict[str, Any]) -> None:
    resolved = loaded(also_test={"more": more}).resolved
    assert resolved["also_test"]["more"]["allow_overlap"] is False
    assert study_from_mapping(resolved, folder=Path.cwd()).resolved == resolved


@pytest.mark.parametrize(
    ("override", "place", "hint"),
    [
        ("protocl.epochs=1", "protocl", "protocol"),
        ("protocol.epoch=1", "protocol.epoch", "epochs"),
        ("task.exmples={}", "task.exmples", "examples"),
        ("task.examples.trian=3", "task.examples.trian", "train"),
        ("methods.lora.rnk=3", "methods.lora.rnk", "rank"),
        ("generation.max_new_token=3", "generation.max_new_token", "max_new_tokens"),
    ],
)
def test_an_unknown_key_names_its_place_and_the_nearest_name(
    override: str, place: str, hint: str
) -> None:
    message = refusal(override)
    assert f"{place} =" in message
    assert f"did you mean {hint}?" in message


def test_null_for_a_method_that_there_is_not_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(dump_yaml(given(methods={"full": {}, "lora": {}})), encoding="utf-8")
    rule = r"^methods\.lorra = null: .*; did you mean lora\? The study has: full, lora$"
    with pytest.raises(ConfigError, match=rule):
        load_study(file, ["methods.lorra=null"])
    assert [e.name for e in load_study(file, ["methods.ia3=null"]).entries] == ["full", "lora"]


def test_null_leaves_a_further_test_set_out(tmp_path: Path) -> None:
    sets = {name: {"kind": "text", "source": "wire"} for name in ("plain", "other")}
    file = tmp_path / "study.yaml"
    file.write_text(dump_yaml(given(also_test=sets)), encoding="utf-8")
    assert list(load_study(file, ["also_test.other=null"]).also) == ["plain"]
    assert not load_study(file, ["also_test=null"]).also
    rule = r"^also_test\.plian = null: .* test set .*; did you mean plain\? The study has: plain, "
    with pytest.raises(ConfigError, match=rule):
        load_study(file, ["also_test.plian=null"])
    file.write_text(file.read_text(encoding="utf-8") + "  third:\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^also_test\.third: nothing follows it .*, or null"):
        load_study(file)


def test_null_leaves_a_method_out(tmp_path: Path) -> None:
    two: dict[str, dict[str, object]] = {"full": {}, "lora": {}}
    assert [e.name for e in loaded("methods.full=null", methods=two).entries] == ["lora"]
    assert [e.name for e in loaded(methods={**two, "full": None}).entries] == ["lora"]
    assert "full" not in loaded("methods.full=null", methods=two).resolved["methods"]
    # What a file names and gives nothing may be forgotten as well as meant.
    file = tmp_path / "study.yaml"
    text = dump_yaml(given(methods=two))
    file.write_text(text.replace("full: {}", "full:"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^methods\.full: nothing follows it .* \{\} .* or null"):
        load_study(file)
    file.write_text(text.replace("full: {}", "full: null"), encoding="utf-8")
    assert [entry.name for entry in load_study(file).entries] == ["lora"]


@pytest.mark.parametrize(
    ("methods", "parts"),
    [
        ({}, ["methods", "lora: {kind: lora}"]),
        ({"x": {"kind": "loar"}}, ["methods.x.kind", "'loar'", "did you mean 'lora'?", "full"]),
        ({"x": {}}, ["methods.x.kind", "'x' is not a method", ", ".join(METHODS)]),
        ({"x": {"kind": ["lora"]}}, ["methods.x.kind", "['lora']", "full, head"]),
        ({"x": None}, ["methods: there is none"]),
        ({"a/b": {"kind": "full"}}, ["methods.a/b", "cannot name a folder", "letters"]),
        ({"..": {"kind": "full"}}, ["methods...", "cannot name a folder"]),
        ({"lora": {"learning_rate": "fast"}}, ["methods.lora.learning_rate", "'fast'", "0.001"]),
        ({"lora": {"learning_rate": True}}, ["methods.lora.learning_rate", "True"]),
        (
            {"lora": {"learning_rate": 0}},
            ["methods.lora.learning_rate", "0 is not a positive number"],
        ),
        ({"lora": {"learning_rate": [1e-3]}}, ["methods.lora.learning_rate", "[0.001]"]),
        ({"lora": {"rank": "8"}}, ["methods.lora.rank", "'8'", "whole number"]),
    ],
)
def test_methods_that_break_a_rule_are_refused(methods: dict[str, Any], parts: list[str]) -> None:
    message = refusal(methods=methods)
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "x" * 65, "with space", "naïve"])
def test_a_name_that_cannot_name_a_folder_is_refused(name: str) -> None:
    assert refusal(name=name).startswith("name: ")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("search={learning_rates: 0}", ["search.learning_rates: 0", "at least 1"]),
        ("search.pruner=hyperband", ["search.pruner", "hyperband", "halving"]),
        ("search.reduction_factor=1", ["search.reduction_factor: 1", "2 or more"]),
        ("search.grid_factor=1.0", ["search.grid_factor: 1.0", "from 1.01"]),
        ("checkpoint_minutes=0", ["checkpoint_minutes: 0", "above 0"]),
        ("slots=0", ["slots: 0", "auto"]),
        ("lead_sentences=0", ["task.lead_sentences is 0", "at least 1"]),
        ("protocol.seeds=[1, 1]", ["protocol.seeds", "distinct"]),
        ("protocol.epochs=0", ["protocol.epochs", "at least 1"]),
        ("protocol.epochs=many", ["protocol.epochs", "'many'", "whole number"]),
        ("precision=int8", ["precision", "'int8'", "bfloat16"]),
        ("task.max_length=10", ["task.max_length is 10", "66"]),
        ("task.cleaning=[upper]", ["task.cleaning[0]", "lowercase"]),
        ("methods.lora=3", ["methods.lora", "3"]),
        ("protocol.max_grad_norm=.inf", ["protocol.max_grad_norm: inf", "finite", "give one"]),
        ("protocol.max_grad_norm=1e-300", ["protocol.max_grad_norm: 1e-300", "1e-12", "null"]),
        ("protocol.max_grad_norm=1e20", ["protocol.max_grad_norm: 1e+20", "1000000", "null"]),
        ("protocol.weight_decay=1e20", ["protocol.weight_decay: 1e+20", "1000000"]),
        ("protocol.epochs=1" + "0" * 29, ["protocol.epochs: ", "30 digits", "below 2^63"]),
        ("protocol.epochs=" + "9" * 5000, ["protocol.epochs=999", "4300 digits"]),
        ("protocol.epochs=1000000000", ["protocol.epochs: 1000000000", "at most 1000000"]),
        ("protocol.patience=1000000000", ["protocol.patience", "at most 1000000"]),
        ("protocol.seeds=[9223372036854775808]", ["protocol.seeds[0]", "19 digits", "2^63"]),
        ("task.seed=9223372036854775808", ["task.seed", "2^63"]),
        ("methods.lora.learning_rate=1e300", ["methods.lora.learning_rate: 1e+300", "at most"]),
        ("methods.lora.learning_rate=1e300", ["methods.lora.learning_rate: 1e+300", "1e+30"]),
        ("methods.lora.learning_rate=1e-300", ["methods.lora.learning_rate: 1e-300", "1e-15"]),
        ("methods.lora.alpha=.nan", ["methods.lora.alpha: nan", "finite"]),
        ("methods.lora.rank=1" + "0" * 29, ["methods.lora.rank", "30 digits"]),
        ("search.trials=1000000000000", ["search.trials: 1000000000000", "at most 10000"]),
        ("search.space={learning_rate: [1e300]}", ["search.space.learning_rate", "1e+30"]),
        ("slots=1000000", ["slots: 1000000", "65536"]),
        ("methods.Lora={kind: lora}", ["methods.Lora", "'lora'", "one folder", "rename"]),
        ("protocol", ["--set", "equals sign"]),
    ],
)
def test_values_that_break_a_rule_are_refused(override: str, parts: list[str]) -> None:
    message = refusal(override)
    assert [part for part in parts if part not in message] == []
    assert len(message) < 400 and "\n" not in message


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="task is missing"):
        study_from_mapping({"name": "x", "base": "tiny", "methods": {"full": {}}}, folder=Path())


def test_a_relative_source_or_base_may_lie_beside_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside / "rows", beside / "model", here):
        folder.mkdir(parents=True)
    file = beside / "study.yaml"
    file.write_text(dump_yaml(given(base="model", task={"source": "rows"})), encoding="utf-8")
    monkeypatch.chdir(here)

    study = load_study(file)
    assert Path(study.options.base) == beside / "model"
    assert study.task.options.source == str(beside / "rows")

    (here / "rows").mkdir()
    assert load_study(file).task.options.source == "rows"  # the working directory comes first


def test_a_chat_template_may_lie_beside_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
    for name in ("my.jinja", "auto", "chatml"):  # these two are words
        (beside / name).write_text("{{ messages }}", encoding="utf-8")
    monkeypatch.chdir(here)
    for name, expected in (
        ("my.jinja", str(beside / "my.jinja")),
        ("{{ my }}", "{{ my }}"),
        *((word, word) for word in ("auto", "chatml")),
    ):
        task = {"kind": "chat", "source": "rows.jsonl", "chat_template": name}
        file = beside / "study.yaml"
        also = {"more": {**task}}
        mapping = {**given(base="tiny"), "task": task, "also_test": also}
        file.write_text(dump_yaml(mapping), encoding="utf-8")
        study = load_study(file)
        assert study.task.options.chat_template == expected
        assert study.also["more"].task.options.chat_template == expected


def test_each_file_of_a_source_may_lie_beside_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside").mkdir()
    source = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    for name in source.values():
        (tmp_path / "beside" / name).touch()
    file = tmp_path / "beside/study.yaml"
    file.write_text(dump_yaml(given(task={"source": source})), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = load_study(Path("beside/study.yaml")).task.options.source
    assert found == {split: f"beside/{split}.jsonl" for split in source}


def test_reserved_names_never_mean_a_folder_beside_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tiny", "wire"):
        (tmp_path / "beside" / name).mkdir(parents=True)
    file = tmp_path / "beside/study.yaml"
    file.write_text(dump_yaml(given()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = load_study(file)
    assert (study.options.base, study.task.options.source) == ("tiny", "wire")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["cannot be read", "No such file"]),
        (b"name: \xff\xfe", ["byte 6", "UTF-8"]),
        (b"name: [1", ["study.yaml"]),
        (b"- a\n- b\n", ["mapping"]),
        (b"", ["mapping"]),
    ],
)
def test_a_file_that_is_no_study_is_refused(
    tmp_path: Path, content: bytes | None, parts: list[str]
) -> None:
    file = tmp_path / "study.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_study(file)
    assert [part for part in [str(file), *parts] if part not in str(caught.value)] == []


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_studies_of_the_repository_load(file: Path) -> None:
    study = load_study(file)
    assert study.options.name == file.stem
    assert study.entries


def test_the_embedded_demo_is_the_one_of_the_repository() -> None:
    embedded = resources.files("bakeoff.study").joinpath("demo.yaml").read_bytes()
    assert embedded == (STUDIES / "demo.yaml").read_bytes()


def test_the_seed_study_holds_the_seeds_values() -> None:
    resolved = load_study(STUDIES / "seed.yaml").resolved

    assert resolved["base"] == "EleutherAI/gpt-neo-125m"
    task = resolved["task"]
    assert (task["source"], task["config"]) == ("abisee/cnn_dailymail", "3.0.0")
    assert (task["document"], task["summary"]) == ("article", "highlights")
    assert task["examples"] == {"train": 21000, "validation": 6000, "test": 3000}
    assert task["cleaning"] == ["lowercase", "strip_punctuation"]
    assert task["template"] == "{document}\n\nTL;DR: {summary}"
    assert (task["max_length"], task["max_target_tokens"]) == (256, 64)
    protocol = resolved["protocol"]
    assert (protocol["epochs"], protocol["patience"], protocol["schedule"]) == (10, 2, "constant")
    assert (protocol["micro_batch_size"], protocol["grad_accum_steps"]) == (16, 4)
    assert (protocol["max_grad_norm"], protocol["weight_decay"]) == (1.0, 0.01)
    assert protocol["betas"] == [0.9, 0.999]
    assert protocol["seeds"] == [0]
    assert resolved["methods"] == {
        "traditional": {"kind": "head", "learning_rate": 5e-3, "tied": True},
        "lora": {
            "kind": "lora",
            "learning_rate": 5e-3,
            "rank": 8,
            **LORA_DEFAULTS,
            "alpha": None,
            "target_modules": None,
        },
        "soft_prompt": {
            "kind": "soft_prompt",
            "learning_rate": 5e-3,
            "prompt_length": 12,
            "init": "Summarize this article into highlights",
        },
    }
    assert resolved["search"] is None
    generation = resolved["generation"]
    assert (generation["strategy"], generation["max_new_tokens"]) == ("greedy", 64)
    assert generation["no_repeat_ngram"] == 3


@pytest.mark.parametrize("name", ["zero_shot", "zero-shot", "lead"])
def test_a_baseline_lends_its_name_to_no_method(name: str) -> None:
    with pytest.raises(ConfigError, match="names a baseline"):
        load_study(None, [f"methods={{{name}: {{kind: lora}}}}"])


def test_a_task_s_own_baselines_lend_their_names_neither() -> None:
    methods = "methods={majority: {kind: lora}}"
    assert load_study(None, [methods]).entries[0].name == "majority"
    with pytest.raises(ConfigError) as caught:
        load_study(None, [methods, "task={kind: classify, source: wire}"])
    assert "methods.majority" in str(caught.value)
    assert "names a baseline of classify" in str(caught.value)


def test_an_older_study_s_keys_are_taken_to_where_they_are_now() -> None:
    older = "task={source: wire, document: article, summary: highlights, max_summary_tokens: 40}"
    study = load_study(None, ["lead_sentences=2", older])
    assert study.resolved["task"]["lead_sentences"] == 2
    assert study.resolved["task"]["max_target_tokens"] == 40
    assert "lead_sentences" not in study.resolved
    again = study_from_mapping(study.resolved, folder=Path())
    assert again.resolved == study.resolved


def test_a_type_of_pefts_has_fields_of_its_own() -> None:
    given = {"kind": "peft", "peft_type": "loha", "r": 4, "target_modules": ["q_proj", "v_proj"]}
    study = loaded(methods={"x": given})
    resolved = study.resolved["methods"]["x"]
    assert resolved["peft_type"] == "LOHA"
    assert (resolved["r"], resolved["alpha"], resolved["rank_pattern"]) == (4, 8, {})
    assert resolved["target_modules"] == ["q_proj", "v_proj"]
    again = loaded(methods={"x": resolved})
    assert again.resolved == study.resolved
    assert again.entries[0].variants == study.entries[0].variants


def test_lists_are_searched_in_pefts_fields_too() -> None:
    given = {"kind": "peft", "peft_type": "LOHA", "r": [2, 4], "target_modules": ["q_proj"]}
    study = loaded(methods={"x": given}, search={"learning_rates": 2})
    [entry] = study.entries
    assert [variant.label for variant in entry.variants] == ["r2", "r4"]
    assert {variant.options.target_modules == ["q_proj"] for variant in entry.variants} == {True}
    assert study.resolved["methods"]["x"]["r"] == [2, 4]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"peft_type": "LOHAS"}, ["methods.x.peft_type", "'LOHAS'", "did you mean LOHA?"]),
        ({"peft_type": "LOHA", "rk": 4}, ["methods.x.rk", "unknown key", "rank_pattern"]),
        ({}, ["methods.x.peft_type", "None", "LOHA"]),
    ],
)
def test_what_peft_does_not_have_is_told(given: dict[str, Any], parts: list[str]) -> None:
    message = refusal(methods={"x": {"kind": "peft", **given}})
    assert [part for part in parts if part not in message] == []


def test_a_searched_run_of_the_first_edition_is_read_with_the_seeds_that_it_had() -> None:
    """It wrote the protocol's seeds, and how many of them the search took."""
    kept = loaded(search={}, protocol={"seeds": [0]}).resolved
    kept["search"]["seeds"] = 3
    assert recorded(kept, folder=Path.cwd()).options.protocol.seed_list == (0,)
    with pytest.raises(ConfigError):
        study_from_mapping(kept, folder=Path.cwd())
