"""A run of claims from studies to files; what is trained is stubbed, the rest is real."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from rich.console import Console

from bakeoff.api.claim_data import _SEED, given_data, made_data
from bakeoff.api.claims import run_claims
from bakeoff.api.running import RunSettings, execute
from bakeoff.api.study import Study
from bakeoff.base.wire_bases.shapes import member_folder
from bakeoff.claims import latency, running
from bakeoff.claims import suite as suite_module
from bakeoff.claims.bases import facts_of
from bakeoff.claims.contract import SIZES, Noise, Part, Planted, Values
from bakeoff.claims.entrants import full, lora_plus
from bakeoff.claims.latency import adapter_times, merged_times
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.measuring import Context
from bakeoff.claims.page import build_page
from bakeoff.claims.planning import plan_studies, why_untestable
from bakeoff.claims.reading import BLOCKS, losses_of
from bakeoff.claims.registry import claim_named, claims_named
from bakeoff.claims.running import run_suite
from bakeoff.claims.suite import Suite
from bakeoff.claims.weights import (
    Spectrum,
    _changed,
    _curve,
    energies,
    rank_share,
    update_ranks,
    weight_ranks,
)
from bakeoff.claims.writing import as_mapping
from bakeoff.data.wire import DESKS, generate
from bakeoff.errors import DataError
from bakeoff.runs.arrays import arrays_bytes
from bakeoff.runs.reading import read_results
from tests.claims.planted import WHOLE, suite_of
from tests.claims.planted import Study as PlantedStudy
from tests.claims.test_reading import study as with_scores
from tests.claims.test_rules import made

FULL = SIZES["full"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return made_data(tmp_path_factory.mktemp("claims"), SIZES["quick"])


def test_equal_entrants_of_several_claims_are_trained_once(data: Any) -> None:
    chosen = claims_named(("update_is_low_rank", "full_rank_lora_is_full", "tuning_forgets"))
    [study] = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    assert list(study.mapping["methods"]) == ["full", "lora_8", "lora_64", "lora_128"]
    assert list(study.mapping["also_test"]) == ["corpus"]
    assert sum(map(study.share, chosen)) == pytest.approx(1.0)


def test_another_number_of_rows_is_another_study_with_as_many_updates(data: Any) -> None:
    chosen = claims_named(("soft_beats_discrete",))
    studies = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    counts = {
        s.mapping["task"]["examples"]["train"]: s.mapping["protocol"]["epochs"] for s in studies
    }
    assert counts == {2048: 1, 16: 128, 64: 32, 256: 8}
    assert "few_shot" in str(studies[0].mapping["baselines"])
    assert len(studies[0].mapping["also_test"]) == 8


def test_labels_are_learnt_where_there_are_some(data: Any) -> None:
    chosen = claims_named(("init_matters", "few_tokens_suffice"))
    labelled, other = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    task = labelled.mapping["task"]
    assert (task["kind"], task["label"], len(task["labels"])) == ("classify", "desk", 8)
    called = labelled.methods["init_matters", ""]["soft_labels"]
    start = labelled.mapping["methods"][called]["init"]
    assert start == {"labels": [f" {desk}" for desk in task["labels"]]}
    assert "kind" not in other.mapping["task"]
    rows = [json.loads(line) for line in Path(task["source"]["train"]).read_text().splitlines()]
    assert {row["desk"] for row in rows} == set(task["labels"])

    [study] = plan_studies(chosen, [WHOLE], WHOLE, FULL, replace(data, labelled=None))
    assert set(study.methods["init_matters", ""]) == {"soft_random", "soft_vocabulary", "soft_text"}
    assert {"soft_20_init_random", "soft_5"} <= set(study.mapping["methods"])
    claim = chosen["init_matters"]
    values = {name: np.full(5, 2.0) for name in ("soft_random", "soft_vocabulary", "soft_text")}
    assert claim.statistic(values)["random"] == pytest.approx(np.zeros(5))


def test_labels_ofgiven_data_are_those_of_its_training_rows(tmp_path: Path) -> None:
    rows = [{"text": f"word {i} of a text", "label": ("spam", "ham")[i % 2]} for i in range(200)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = given_data(str(tmp_path / "rows.jsonl"), "tiny", tmp_path / "out")
    assert found.labelled is not None and found.labelled[1] == (" ham", " spam")
    assert found.task["kind"] == "classify"


def test_loraplus_has_a_grid_around_a_rate_below_that_of_lora() -> None:
    [part] = claims_named(("variants_tie_when_tuned",))["variants_tie_when_tuned"].design(
        NOMINAL, FULL
    )
    plus, plain = part.entrants["loraplus"], part.entrants["lora"]
    assert plus["loraplus_lr_ratio"] == 16.0
    assert plus["learning_rate"] == pytest.approx(plain["learning_rate"] / 4)
    large = replace(NOMINAL, parameters=10**9)
    assert lora_plus(large, 16, 16.0)["learning_rate"] == pytest.approx(5e-4 / 4)


def test_what_cannot_be_tested_says_what_it_takes(data: Any) -> None:
    scale = claims_named(("scale_closes_gap",))["scale_closes_gap"]
    assert "at least three" in why_untestable(scale, [NOMINAL], NOMINAL, FULL, data)
    same = [replace(NOMINAL, reference=name) for name in ("a", "b", "c")]
    assert "three sizes" in why_untestable(scale, same, NOMINAL, FULL, data)
    family = [replace(one, parameters=10**i) for i, one in enumerate(same, 5)]
    assert not why_untestable(scale, family, NOMINAL, FULL, data)
    shift = claims_named(("prompts_resist_shift",))["prompts_resist_shift"]
    own = replace(data, desks=None)
    assert "without --data" in why_untestable(shift, [NOMINAL], NOMINAL, FULL, own)


@pytest.mark.parametrize(
    ("base", "is_known"),
    [
        ("tiny", True),
        ("wire-0.3m", True),
        ("made", True),
        ("other/tiny", False),
        ("someone/tiny", False),
        ("smollm2-135m", False),
    ],
)
def test_what_a_base_forgets_is_measured_on_text_that_it_was_trained_on(
    base: str, is_known: bool, data: Any, place: Path
) -> None:
    # A folder is one of the family by its card, not by what it is called.
    (place / "made").mkdir()
    shipped = member_folder("wire-0.3m", place)
    assert shipped is not None
    shutil.copy(shipped / "README.md", place / "made")
    (place / "other" / "tiny").mkdir(parents=True)
    (place / "other" / "tiny" / "README.md").write_text("# tiny\n\nAnother one.\n")
    forgets = claims_named(("tuning_forgets",))["tuning_forgets"]
    main = replace(NOMINAL, reference=base)
    why = why_untestable(forgets, [main], main, FULL, data)
    assert why == "" if is_known else "on tiny or on a base wire-*" in why
    assert why_untestable(forgets, [main], main, FULL, replace(data, corpus=None))


def test_ranks_of_two_claims_are_trained_once(data: Any) -> None:
    chosen = claims_named(("rank_is_enough_at_8", "full_rank_lora_is_full"))
    [study] = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    ranks = [method.get("rank") for method in study.mapping["methods"].values()]
    assert ranks == [1, 2, 4, 8, 64, None, 128]


def test_held_out_desks_are_in_no_training_row(data: Any, tmp_path: Path) -> None:
    source, shifted = data.desks

    def articles_of(file: str) -> list[str]:
        return [json.loads(line)["article"] for line in Path(file).read_text().splitlines()]

    def of_desks(split: Literal["train", "validation", "test"]) -> tuple[set[str], set[str]]:
        """More articles of a split than are drawn: those of the held-out desks, and the others."""
        made = generate(10 * SIZES["quick"].test_rows, seed=_SEED, split=split)
        held = {one.article for one in made if one.desk in ("court", "science")}
        return held, {one.article for one in made} - held

    for split in ("train", "validation", "test"):
        held, others = of_desks(split)
        rows = set(articles_of(source[split]))
        assert held and not rows & held, split
        assert rows <= others, split
    seen = articles_of(shifted["desks"])
    assert len(seen) == SIZES["quick"].test_rows
    assert set(seen) <= of_desks("test")[0]


def test_the_other_data_set_has_the_desks_of_training_alone(data: Any) -> None:
    _, shifted = data.desks
    rows = [json.loads(line) for line in Path(shifted["sheets"]).read_text().splitlines()]
    desks = {re.findall(r"^Desk: (\w+)\.", row["article"])[0] for row in rows}
    assert len(rows) == SIZES["quick"].test_rows
    assert desks == {desk.name for desk in DESKS} - {"court", "science"}

    chosen = claims_named(("prompts_resist_shift",))
    [study] = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    also = study.mapping["also_test"]
    assert {name: Path(one["source"]["test"]).stem for name, one in also.items()} == {
        "desks": "desks",
        "sheets": "sheets",
    }


def test_losses_are_sums_over_sums_with_each_block_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sums = np.stack([rng.uniform(10, 20, 45), rng.integers(3, 9, 45)], axis=1)
    (tmp_path / "test.npz").write_bytes(arrays_bytes({"nll": sums}))
    whole, without = losses_of(tmp_path / "test.npz")
    assert whole == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    kept = np.delete(sums, [3, 23, 43], axis=0).sum(axis=0)
    assert without[3] == pytest.approx(kept[0] / kept[1])
    assert without.shape == (BLOCKS,)


def test_the_rank_by_energy_is_that_of_a_matrix_made_so() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(40, 3, generator=generator) @ torch.randn(3, 60, generator=generator)
    assert rank_share(energies(low)) <= 3 / 40
    assert rank_share(energies(torch.eye(40))) == pytest.approx(0.9)


def test_a_budget_runs_claim_after_claim_and_leaves_the_rest_undecided(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: list[float] = [0.0]
    ran: list[tuple[list[str], float | None]] = []
    # The module's own name: the clock of the process is everybody's, event loops' too.
    for module in (suite_module, running):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        ran.append((list(mapping["methods"]), seconds))
        clock[0] += 60.0

    names = ("few_tokens_suffice", "full_rank_lora_is_full", "init_matters")
    chosen: dict[str, Any] = {
        "claims": claims_named(names),
        **{"facts": [WHOLE], "main": WHOLE, "size": SIZES["quick"], "data": data},
        **{"device": "cpu", "out": tmp_path, "run_study": run_study},
    }
    found = run_suite(Suite(**chosen, deadline=100.0))
    short = ["soft_5", "soft_20", "soft_100"]
    assert ran == [(short, 100.0), ([*short, "full", "lora_128"], 40.0)]
    assert {one.verdict for one in found.findings.values()} == {"undecided"}
    assert "budget ended" in found.findings["init_matters"].why
    # Without a budget they share a study from the start.
    ran.clear()
    run_suite(Suite(**chosen))
    assert [methods for methods, _ in ran] == [
        [*short, "full", "lora_128"],
        ["soft_20_init_random", "soft_20", "soft_20-120f797a", "soft_20-048bae0e"],
    ]


@pytest.mark.parametrize("is_needed", [False, True])
def test_a_study_that_only_a_figure_needs_may_fail(
    is_needed: bool, data: Any, tmp_path: Path
) -> None:
    parts = (
        Part(entrants={"full": full(NOMINAL)}),
        Part(name="few", entrants={"full": full(NOMINAL)}, train_rows=16),
    )
    claim = made(
        design=lambda facts, size: parts,
        statistic=lambda values: {"x": values["full"]},
        figure_only=() if is_needed else ("few:full",),
        planted=Planted(
            supported={"full": 0.2}, contradicted={"full": 0.0}, noise=Noise(seed=0.02)
        ),
    )

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        if mapping["task"]["examples"]["train"] == 16:
            raise DataError("16 rows are too few")
        with_scores(place)

    chosen: dict[str, Any] = {
        "claims": {"made": claim},
        **{"facts": [NOMINAL], "main": NOMINAL, "size": SIZES["quick"], "data": data},
        **{"device": "cpu", "out": tmp_path, "run_study": run_study},
    }
    one = Suite(**chosen)
    found = run_suite(one)
    content = as_mapping(one, found)["claims"]["made"]
    if is_needed:
        assert content["effect"] is None
    else:
        assert content["seeds"] == 3
        assert [note for note in content["notes"] if "figure is without full" in note]


def test_a_curve_that_cannot_be_drawn_decides_nothing(data: Any, tmp_path: Path) -> None:
    def broken(values: Values) -> None:
        raise ZeroDivisionError("by no rows")

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        with_scores(place)

    claim = made(
        design=lambda facts, size: (Part(entrants={"full": full(NOMINAL)}),),
        statistic=lambda values: {"x": values["full"]},
        curve=broken,
        planted=Planted(
            supported={"full": 0.2}, contradicted={"full": 0.0}, noise=Noise(seed=0.02)
        ),
    )
    suite = replace(
        suite_of((), tmp_path, data, PlantedStudy()), claims={"made": claim}, run_study=run_study
    )
    found = run_suite(suite)
    assert found.findings["made"].effect is not None and found.curves == {"made": []}
    assert found.failures.said == ["made: ZeroDivisionError: by no rows"]
    assert "made" in build_page(suite, found)


def test_the_whole_change_has_the_loss_of_the_run_and_no_change_that_of_the_rest(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    methods = {"all": {"kind": "full", "learning_rate": 1e-3}}
    study = small(methods=methods, protocol={"seeds": [0, 1]}, task={"metrics": ["nll"]})
    settings = RunSettings(device="cpu", costs=False)
    execute(Study.from_mapping(study), place / "out", Console(quiet=True), settings)
    facts = facts_of(study["base"])
    context = Context(
        facts=facts, device="cpu", size=FULL, place=place / "out", methods={"full": "all"}
    )
    found = update_ranks(context)
    results = read_results(place / "out")
    runs = [results.candidates[run] for run in results.methods["all"].candidates]
    losses = [min(epoch.val_nll for epoch in run.epochs) for run in runs]
    assert found["loss_100"] == pytest.approx(losses, rel=1e-4)
    assert (found["loss_0"] > found["loss_100"]).all()
    assert found["energy_75"].min() > 0.5


def test_a_change_is_cut_to_a_part_of_its_rank() -> None:
    matrix = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    apart = Spectrum.of(matrix)
    assert apart.energies == pytest.approx(energies(matrix))
    assert not apart.cut_to(0).any()
    assert torch.equal(apart.cut_to(100), matrix)
    half = apart.cut_to(50)
    assert torch.linalg.matrix_rank(half) == 10
    lost = torch.linalg.svdvals(matrix)[10:].square().sum()
    torch.testing.assert_close((matrix - half).square().sum(), lost)


def test_the_energy_is_that_of_what_a_change_is_cut_to() -> None:
    wide, narrow = (torch.randn(n, n, generator=torch.Generator().manual_seed(n)) for n in (40, 10))
    curve = _curve([energies(wide), energies(narrow)])
    for share in (5, 10, 25, 50, 75):
        for matrix, energy in zip((wide, narrow), curve[f"energy_{share}"], strict=True):
            kept = Spectrum.of(matrix).cut_to(share).square().sum() / matrix.square().sum()
            assert energy == pytest.approx(float(kept), abs=1e-6)
    assert curve["energy_5"][1] == 0.0, "5 % of ten is no rank at all"


def test_energies_are_means_over_layers_by_their_size() -> None:
    """As the rank by energy is: a large layer that is full and a small one of rank one."""
    changes = {"large.weight": torch.eye(8), "small.weight": torch.ones(2, 2)}
    zeros = {name: torch.zeros_like(change) for name, change in changes.items()}
    method = SimpleNamespace(base=SimpleNamespace(source_parameters=lambda: zeros.items()))
    trained = SimpleNamespace(
        of=lambda name: [(method, changes)], loss_of=lambda method, tensors: 0.0
    )
    context: Any = SimpleNamespace(
        trained=trained, methods={"full": "full"}, facts=SimpleNamespace(linears=["large", "small"])
    )
    found = update_ranks(context)
    assert found["energy_50"] == pytest.approx([(64 * 0.5 + 4 * 1.0) / 68])
    assert found["update_rank"] == pytest.approx([(64 * 1.0 + 4 * 0.5) / 68])


def test_subtracting_in_bfloat16_does_not_give_the_base_back() -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    update = 0.1 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    assert _changed(weight, torch.zeros(64, 64), torch.bfloat16) == 0
    assert _changed(weight, update, torch.bfloat16) > 400
    assert _changed(weight, torch.full((64, 64), 2.0**60), torch.float32) == 64 * 64


def test_times_and_outputs_are_measured_on_the_shipped_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How exact the times are is not asked here.
    monkeypatch.setattr(latency, "_PASSES", (1, 1))
    size = replace(SIZES["quick"], rounds=2)
    context = Context(facts=facts_of("tiny"), device="cpu", size=size)
    found: Mapping[str, Any] = {**adapter_times(context), **merged_times(context)}
    assert {len(value) for value in found.values()} == {2}
    assert all((value > 0).all() for name, value in found.items() if "output" not in name)
    assert found["output_float32"].max() < 1e-4 < found["output_bfloat16"].min()
    # A format's own rounding, without a merge, is of the same size; float32's is the measure.
    assert "own_float32" not in found
    assert found["own_bfloat16"].min() > 1e-3 > found["own_float16"].max() > 0
    said = claim_named("merged_lora_is_free").says(found)
    assert "in bfloat16 (merged from unmerged" in said and "float32 (" not in said
    assert not claim_named("merged_lora_is_free").says({})


def test_a_claim_about_weights_needs_no_training(tmp_path: Path) -> None:
    found = run_claims(["weights_are_low_rank", "scale_closes_gap"], quick=True, out=tmp_path)
    one = found.claims["weights_are_low_rank"]
    assert one["verdict"] == "contradicted"
    assert one["low"] > one["margin"] == 0.25
    kept = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert list(kept) == ["weights_are_low_rank", "scale_closes_gap"]
    assert kept["scale_closes_gap"]["verdict"] == "untestable"
    assert all(one["planned_smallest_effect"] > 0 for one in kept.values())
    assert {"verdict", "effect", "low", "high", "margin", "seeds", "seconds"} <= set(
        kept["weights_are_low_rank"]
    )
    page = (tmp_path / "claims.html").read_text()
    assert page.index("<table") < page.index("Does not show")
    assert "1 contradicted, 1 untestable" in page
    context = Context(facts=facts_of("tiny"), device="cpu", size=SIZES["quick"])
    assert one["effect"] == pytest.approx(weight_ranks(context)["weight_rank"].mean())
