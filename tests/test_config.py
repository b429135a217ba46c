"""The strict loader: YAML 1.2's scalars, exact places in messages, nothing converted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from bakeoff.config import (
    apply_overrides,
    differences,
    dump_yaml,
    from_mapping,
    load_yaml,
    parse_override,
    to_mapping,
)
from bakeoff.errors import ConfigError


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Lora:
    rank: int = 8
    alpha: float = 16.0
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank = {self.rank}: must be at least 1.")
        if self.rank > 1000 and self.alpha == 1.0:
            raise ConfigError("This pair is refused.")


@dataclass(frozen=True, kw_only=True)
class Search:
    num_rates: int
    pruner: Literal["halving", "none"] = "halving"


@dataclass(frozen=True, kw_only=True)
class Study:
    name: str
    lora: Lora = field(default_factory=Lora)
    methods: dict[str, Lora] = field(default_factory=dict)
    search: Search | None = None
    source: str | dict[str, str] = "wire"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    color: Color = Color.RED
    tied: bool = True
    folder: Path | None = None
    sizes: tuple[int, int] = (1, 2)
    either: Lora | Search | None = None
    extra: dict[str, Any] = field(default_factory=dict)


# Nine lines that would stand for a billion values.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


def error_of(mapping: dict[str, Any], cls: type[Any] = Study, path: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        from_mapping(cls, mapping, path=path)
    return str(caught.value)


class TestLoadYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("5e-3", 0.005),
            ("1e-4", 1e-4),
            ("1E5", 1e5),
            ("-.5", -0.5),
            ("3.", 3.0),
            (".inf", math.inf),
            ("-.INF", -math.inf),
            ("10", 10),
            ("010", 10),
            ("0o17", 15),
            ("0x1F", 31),
            ("+3", 3),
            ("on", "on"),
            ("off", "off"),
            ("yes", "yes"),
            ("No", "No"),
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("3.0.0", "3.0.0"),
            ("2024-01-31", "2024-01-31"),
            ("12:30:45", "12:30:45"),
            ("1_000", "1_000"),
            ("'5e-3'", "5e-3"),
            ("=", "="),
            ("<<", "<<"),
            ("0b11", "0b11"),
            ("1_0.5", "1_0.5"),
            ("tRUE", "tRUE"),
            ("!!str 5", "5"),
            ("!!float 5", 5.0),
            ("[a, 1, {b: 2.5}]", ["a", 1, {"b": 2.5}]),
        ],
    )
    def test_scalars_follow_yaml_1_2(self, text: str, value: Any) -> None:
        loaded = load_yaml(f"x: {text}", where="s.yaml")["x"]
        assert loaded == value
        assert type(loaded) is type(value)

    def test_nan(self) -> None:
        assert math.isnan(load_yaml("x: .nan", where="s.yaml")["x"])

    def test_anchor_is_resolved(self) -> None:
        assert load_yaml("a: &x [1]\nb: *x\n", where="s.yaml") == {"a": [1], "b": [1]}

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("a: 1\nb: 2\na: 3\n", ["s.yaml, line 3, column 1", "'a'", "twice"]),
            ("p: {a: 1, a: 2}", ["line 1, column 11", "twice"]),
            ("a: [1, 2\nb: 3\n", ["s.yaml, line 2", "quotes"]),
            ("a: b: c\n", ["line 1, column 5", "quotes"]),
            ("1: a\n", ["line 1, column 1", "key 1 is not text"]),
            ("[a]: 1\n", ["line 1", "not text"]),
            ("- a\n- b\n", ["top level must be a mapping", "['a', 'b']"]),
            ("", ["top level must be a mapping", "empty"]),
            ("a: !!python/object/apply:os.getcwd []\n", ["line 1, column 4", "python/object"]),
            ("a: !!binary aGk=\n", ["line 1", "binary"]),
            ("a: &x {b: *x}\n", ["line 1", "recursive"]),
            ("a: &x [*x]\n", ["line 1", "recursive"]),
            ("a:\n\tb: 1\n", ["s.yaml, line 2, column 1", "\\t"]),
            ("a: 1\nb: !rank 8\n", ["s.yaml, line 2, column 4", "tag '!rank'"]),
            ("a: !!set {b}\n", ["line 1, column 4", "set"]),
            ("a: !!omap [b: 1]\n", ["line 1, column 4", "omap"]),
            (BOMB, ["s.yaml, line 1", "aliases make more than 100000 values"]),
            ("a: 1\n---\nb: 2\n", ["line 2", "document"]),
            ("a: \x00\n", ["s.yaml", "not readable"]),
            ("a: " + "[" * 5000, ["s.yaml"]),
        ],
    )
    def test_broken_text_names_the_place(self, text: str, parts: list[str]) -> None:
        with pytest.raises(ConfigError) as caught:
            load_yaml(text, where="s.yaml")
        for part in parts:
            assert part in str(caught.value)


class TestFromMapping:
    def test_builds_nested_dataclasses(self) -> None:
        study = from_mapping(
            Study,
            {
                "name": "a",
                "lora": {"rank": 4, "alpha": 8, "target_modules": ["k_proj"]},
                "methods": {"small": {"rank": 1}},
                "search": {"num_rates": 8},
                "source": {"train": "t.csv"},
                "color": "blue",
                "folder": "x/y",
                "sizes": [3, 4],
                "either": {"num_rates": 2, "pruner": "none"},
                "extra": {"any": [1, 2.5, None, True, "x"]},
            },
        )
        assert study == Study(
            name="a",
            lora=Lora(rank=4, alpha=8.0, target_modules=("k_proj",)),
            methods={"small": Lora(rank=1)},
            search=Search(num_rates=8),
            source={"train": "t.csv"},
            color=Color.BLUE,
            folder=Path("x/y"),
            sizes=(3, 4),
            either=Search(num_rates=2, pruner="none"),
            extra={"any": [1, 2.5, None, True, "x"]},
        )
        assert type(study.lora) is Lora
        assert type(study.lora.alpha) is float
        assert type(study.extra["any"][0]) is int

    def test_defaults_fill_what_is_not_given(self) -> None:
        assert from_mapping(Study, {"name": "a"}) == Study(name="a")

    @pytest.mark.parametrize(
        ("mapping", "parts"),
        [
            ({"lora": {"rnk": 8}}, ["p.lora.rnk = 8", "unknown", "mean rank?", "alpha, target"]),
            ({"methods": {"a": {"zz": 8}}}, ["p.methods.a.zz = 8", "Known keys: rank, alpha"]),
            ({"lora": {"rank": "8"}}, ["p.lora.rank = '8'", "whole number"]),
            ({"lora": {"rank": True}}, ["p.lora.rank = true", "whole number"]),
            ({"lora": {"rank": 8.0}}, ["p.lora.rank = 8.0", "whole number"]),
            ({"lora": {"rank": None}}, ["p.lora.rank = null", "whole number"]),
            ({"lora": {"alpha": "5e-3"}}, ["p.lora.alpha = '5e-3'", "must be a number"]),
            ({"lora": {"alpha": True}}, ["p.lora.alpha = true", "must be a number"]),
            ({"lora": {"target_modules": "q"}}, ["p.lora.target_modules = 'q'", "[a, b]"]),
            ({"lora": {"target_modules": ["q", 1]}}, ["p.lora.target_modules[1] = 1", "text"]),
            ({"lora": None}, ["p.lora = null", "must be a mapping", "rank, alpha"]),
            ({"name": 3.0}, ["p.name = 3.0", "quotes"]),
            ({"tied": "yes"}, ["p.tied = 'yes'", "true or false"]),
            ({"tied": 1}, ["p.tied = 1", "true or false"]),
            ({"device": "gpu"}, ["p.device = 'gpu'", "'auto', 'cpu' or 'cuda'", "mean 'cpu'"]),
            ({"color": "bleu"}, ["p.color = 'bleu'", "'red' or 'blue'", "mean 'blue'?"]),
            ({"search": {}}, ["p.search.num_rates is missing"]),
            ({"search": {"num_rates": 1, "prunr": "x"}}, ["p.search.prunr", "mean pruner?"]),
            ({"source": 3}, ["p.source = 3", "text", "or must be a mapping"]),
            ({"source": {"train": 3}}, ["p.source.train = 3"]),
            ({"methods": {"a": 3}}, ["p.methods.a = 3", "must be a mapping; its keys are rank"]),
            ({"either": {"pruner": "x", "num_rates": 1}}, ["p.either.pruner = 'x'", "halving"]),
            ({"extra": {1: 2}}, ["p.extra.1", "must be text"]),
            ({"extra": {"a": {1, 2}}}, ["p.extra.a", "not set"]),
        ],
    )
    def test_message_names_place_value_rule_and_remedy(
        self, mapping: dict[str, Any], parts: list[str]
    ) -> None:
        message = error_of({"name": "a", **mapping}, path="p")
        for part in parts:
            assert part in message
        assert "Lora" not in message  # no class, no union member in a place
        assert "pydantic" not in message

    def test_no_prefix_without_a_path(self) -> None:
        assert error_of({"name": "a", "lora": {"rnk": 8}}).startswith("lora.rnk = 8: unknown key")

    def test_no_mapping_at_all(self) -> None:
        assert error_of([1], path="methods.lora") == (  # type: ignore[arg-type]
            "methods.lora = [1]: must be a mapping; its keys are name, lora, methods, search, "
            "source, device, color, tied, folder, sizes, either, extra."
        )

    def test_all_errors_at_once(self) -> None:
        lines = error_of({"lora": {"rank": "8", "alpha": "x"}, "nme": "a"}).splitlines()
        assert lines[0] == "4 settings are wrong:"
        assert len(lines) == 5
        for start in ("name is missing", "nme = 'a'", "lora.rank = '8'", "lora.alpha = 'x'"):
            assert any(line.strip().startswith(start) for line in lines)

    def test_very_many_errors_are_cut(self) -> None:
        lines = error_of({"name": "a", **{f"k{index}": 1 for index in range(20)}}).splitlines()
        assert lines[0] == "20 settings are wrong:"
        assert lines[-1].strip() == "and 12 more"
        assert len(lines) == 10

    @pytest.mark.parametrize(
        ("cls", "mapping", "path", "expected"),
        [
            (Lora, {"rank": 0}, "", "rank = 0: must be at least 1."),
            (Lora, {"rank": 0}, "methods.a", "methods.a.rank = 0: must be at least 1."),
            (Study, {"name": "a", "lora": {"rank": 0}}, "", "lora.rank = 0: must be at least 1."),
            (Lora, {"rank": 2000, "alpha": 1}, "m", "m: This pair is refused."),
        ],
    )
    def test_an_error_of_the_dataclass_keeps_its_words(
        self, cls: type[Any], mapping: dict[str, Any], path: str, expected: str
    ) -> None:
        assert error_of(mapping, cls, path) == expected


class TestToMapping:
    def test_writes_every_default_and_comes_back(self) -> None:
        study = Study(name="a", search=Search(num_rates=3), folder=Path("x/y"), color=Color.BLUE)
        mapping = to_mapping(study)
        assert mapping["lora"] == {
            "rank": 8,
            "alpha": 16.0,
            "target_modules": ["q_proj", "v_proj"],
        }
        assert mapping["color"] == "blue"
        assert mapping["folder"] == "x/y"
        assert mapping["either"] is None
        assert from_mapping(Study, load_yaml(dump_yaml(mapping), where="s")) == study

    def test_takes_instances_only(self) -> None:
        with pytest.raises(TypeError):
            to_mapping(Study)


class TestDumpYaml:
    @pytest.mark.parametrize(
        "value",
        [
            *(0.005, 5e-05, 1e-20, 1e22, 3.0, -0.0, math.inf, -math.inf, 0, -7, 10**20),
            *(True, False, None, "", "5e-3", "1e5", "10", "0o17", "0x1f", "1_000", "010", ".5"),
            *("on", "yes", "no", "true", "null", "~", "3.0.0", "2024-01-31", "1:30", "=", "<<"),
            *("{document}\n\nTL;DR: {summary}", " a ", "a: b", "- a", "# a", "a\n", "é 日本 🙂"),
            *("\u2028\x85\t", "a\x85"),
            *("x" * 500, "word " * 100, [], {}, [1, [2, {"a": []}]], [{"a": 1}]),
        ],
    )
    def test_round_trip_keeps_value_and_type(self, value: Any) -> None:
        loaded = load_yaml(dump_yaml({"x": value, "y": [value]}), where="dump")
        assert loaded == {"x": value, "y": [value]}
        assert type(loaded["x"]) is type(value)

    def test_keys_stay_in_order_and_lists_on_one_line(self) -> None:
        assert dump_yaml({"b": 0.005, "a": ("x", "z"), "c": {"d": None}}) == (
            "b: 0.005\na: [x, z]\nc:\n  d: null\n"
        )

    def test_text_that_either_version_of_yaml_reads_otherwise_is_quoted(self) -> None:
        texts = ["on", "y", "5e-3", "1_000", "010", "2024-01-31", "1:30", "null", "="]
        assert dump_yaml({"x": texts}) == f"x: [{', '.join(repr(text) for text in texts)}]\n"
        assert dump_yaml({"x": 5e-05, "y": 1e22}) == "x: 5.0e-05\n'y': 1.0e+22\n"

    def test_shared_values_get_no_anchor(self) -> None:
        shared = [{"a": 1}]
        assert "&" not in dump_yaml({"x": shared, "y": shared})


class TestOverrides:
    @pytest.mark.parametrize(
        ("argument", "parts", "value"),
        [
            ("a.b.c=value", ("a", "b", "c"), "value"),
            ("rate=5e-3", ("rate",), 0.005),
            ("task.cleaning=[lowercase]", ("task", "cleaning"), ["lowercase"]),
            ("search=null", ("search",), None),
            ("search=", ("search",), None),
            ("search={a: 1}", ("search",), {"a": 1}),
            ("a=b=c", ("a",), "b=c"),
            ("tied=off", ("tied",), "off"),
            ('t="{document}\\n{summary}"', ("t",), "{document}\n{summary}"),
        ],
    )
    def test_parse(self, argument: str, parts: tuple[str, ...], value: Any) -> None:
        assert parse_override(argument) == (parts, value)

    @pytest.mark.parametrize(
        "argument", ["a.b", "=1", "a..b=1", ".a=1", "a.=1", "", "a=[1", "a={x} y"]
    )
    def test_parse_names_the_argument(self, argument: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_override(argument)
        assert f"--set {argument!r}" in str(caught.value)

    def test_apply_returns_a_new_mapping(self) -> None:
        mapping = {"a": {"b": 1, "c": [1]}, "search": None}
        result = apply_overrides(
            mapping, ["a.b=2", "search.seeds=3", "x.y.z=5e-3", "search.rates=1", "a.b=4"]
        )
        assert result == {
            "a": {"b": 4, "c": [1]},
            "search": {"seeds": 3, "rates": 1},
            "x": {"y": {"z": 0.005}},
        }
        result["a"]["c"].append(2)
        assert mapping == {"a": {"b": 1, "c": [1]}, "search": None}

    @pytest.mark.parametrize(
        ("argument", "parts"),
        [
            ("a.b.c=1", ["a.b is 1", "'a.b.c=1'"]),
            ("a.c.0=1", ["a.c is [1]"]),
            ("name.x=1", ["name is 'n'"]),
        ],
    )
    def test_a_parent_without_keys_is_refused(self, argument: str, parts: list[str]) -> None:
        with pytest.raises(ConfigError) as caught:
            apply_overrides({"a": {"b": 1, "c": [1]}, "name": "n"}, [argument])
        for part in parts:
            assert part in str(caught.value)


class TestDifferences:
    def test_names_dotted_keys_with_both_values(self) -> None:
        a = {"same": 1, "p": {"epochs": 10, "seeds": [0]}, "tied": True, "gone": {"x": 1}}
        b = {"same": 1.0, "p": {"epochs": 5, "seeds": [0, 1]}, "tied": 1, "new": None}
        assert differences(a, b) == [
            "p.epochs: 10 and 5",
            "p.seeds: [0] and [0, 1]",
            "tied: true and 1",
            "gone: {'x': 1} and (not set)",
            "new: (not set) and null",
        ]

    def test_equal_values_make_no_line(self) -> None:
        a = {"t": (1, 2), "n": math.nan, "c": Color.RED}
        b = {"t": [1, 2], "n": math.nan, "c": "red"}
        assert differences(a, b) == []
