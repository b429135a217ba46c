"""A study that cannot fit is refused before training, with the smallest change that would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bakeoff import memory
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.workbench import Workbench
from bakeoff.measure import fit, forecasts
from bakeoff.measure.fit import fit_of, needs_of, remedy, surely_fits
from bakeoff.measure.needs import Need, neighbours_of
from bakeoff.measure.remedies import Fitting, remedies_of, shortened
from bakeoff.measure.traced import Predictor
from bakeoff.search.options import SearchOptions
from bakeoff.search.schedule import first_candidates
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.studies import small_study

Run = Callable[..., Any]
MANY = {
    "lora": {"rank": 2, "learning_rate": [1e-3, 1e-2, 1e-1]},
    "full": {"learning_rate": [1e-4]},
}
SEARCH: dict[str, Any] = {"learning_rates": 3, "seeds": 1}
SEARCHED = SearchOptions(**SEARCH)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    from tests.studies import small_study, write_rows

    folder = tmp_path_factory.mktemp("fit")
    write_rows(folder / "rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        study = small_study(methods=MANY, search=SEARCH, slots=3)
        return open_workbench(study_from_mapping(study, folder=folder), "cpu")


@pytest.fixture(scope="module")
def predictor(bench: Workbench) -> Predictor:
    return Predictor(bench)


def test_needs_go_by_the_slots_that_the_study_would_seat(
    bench: Workbench, predictor: Predictor
) -> None:
    lora, full = needs_of(bench, predictor, first_candidates(bench, SEARCHED))
    assert (lora.slots, full.slots) == (3, 1)
    assert lora.bytes == lora.alone.base_bytes + 3 * lora.alone.slot_bytes
    assert lora.fitting_slots(lora.bytes) == 3
    assert lora.fitting_slots(lora.bytes - 1) == 2
    assert lora.fitting_slots(0) == 0


def test_the_smallest_change_comes_first(bench: Workbench, predictor: Predictor) -> None:
    needs = needs_of(bench, predictor, first_candidates(bench, SEARCHED))
    lora, full = needs
    only_lora = [lora]
    enough = max(need.bytes for need in needs)
    assert remedy(bench, predictor, needs, enough) is None
    two = lora.alone.base_bytes + 2 * lora.alone.slot_bytes
    fewer = remedy(bench, predictor, only_lora, two)
    assert fewer == "fewer candidates in one pass: --set slots=2"

    half = predictor.training(lora.entry, lora.label, 2).peak_bytes
    smaller = remedy(bench, predictor, only_lora, half)
    assert smaller == (
        "smaller micro-batches: --set protocol.micro_batch_size=2 "
        "--set protocol.grad_accum_steps=4 --set slots=1"
    )
    one = predictor.training(lora.entry, lora.label, 1)
    assert one.peak_bytes < half
    # One row of LoRA takes less than what full tuning holds between steps.
    assert one.slot_bytes < full.alone.held_bytes
    light = replace(lora, alone=one, slots=1)
    left_out = remedy(bench, predictor, [light, full], one.peak_bytes)
    assert left_out == "leaving out methods.full: --set methods.full=null"
    assert "a smaller base" in str(remedy(bench, predictor, needs, lora.alone.base_bytes - 1))


def test_a_method_that_fits_with_less_is_not_said_to_fit_never(
    bench: Workbench, predictor: Predictor
) -> None:
    lora, full = needs_of(bench, predictor, first_candidates(bench, SEARCHED))
    two = predictor.training(lora.entry, lora.label, 2).reserved_bytes
    # Full tuning holds more between steps than LoRA takes: it fits in no way.
    assert full.alone.held_bytes + full.alone.base_bytes > two
    found = fit_of(bench, predictor, [lora, full], two)
    assert found.methods["lora"].rows == 2
    assert found.methods["lora"].says == "fits with micro-batches of 2 rows, not 4"
    assert found.methods["full"].rows is None and found.methods["full"].max_length is None
    assert found.methods["full"].says.startswith("does not fit, however small its batches")
    assert found.remedies == (
        "leaving out methods.full: --set methods.full=null, with smaller micro-batches: "
        "--set protocol.micro_batch_size=2 --set protocol.grad_accum_steps=4 --set slots=1",
    )


def test_shorter_rows_are_named_where_only_one_method_needs_them(bench: Workbench) -> None:
    lora = Fitting(name="lora", micro_batch_size=4, rows=4, checkpointed_rows=4)
    full = Fitting(name="full", micro_batch_size=4, rows=None, max_length=64)
    changes = remedies_of(bench, [lora, full], seats_several=False)
    assert changes[0].startswith("shorter documents: --set task.max_length=64 ")
    assert changes[1].startswith("leaving out methods.full: ")
    assert remedies_of(bench, [lora], seats_several=False)[0].startswith("smaller micro-batches")


def test_recomputed_activations_are_traced(bench: Workbench, predictor: Predictor) -> None:
    lora, _ = needs_of(bench, predictor, first_candidates(bench, SEARCHED))
    changed = replace(bench, engine=EngineOptions(gradient_checkpointing=True))
    less = predictor.training(lora.entry, lora.label, 1, study=changed).reserved_bytes
    one = predictor.training(lora.entry, lora.label, 1)
    assert less < one.reserved_bytes
    found = fit_of(bench, predictor, [lora], one.reserved_bytes - 1)
    assert found.methods["lora"].rows is None
    assert found.methods["lora"].checkpointed_rows is not None
    assert found.remedies[0].startswith(
        "recomputed activations: --set engine.gradient_checkpointing=true "
    )
    length = found.methods["lora"].max_length
    assert length is not None and f"task.max_length={length}" in found.remedies[-1]
    short = predictor.training(lora.entry, lora.label, 1, study=shortened(bench, length))
    assert short.tokens == length and short.reserved_bytes < one.reserved_bytes


def test_what_is_advised_does_fit(bench: Workbench, predictor: Predictor, place: Path) -> None:
    [lora, _] = needs_of(bench, predictor, first_candidates(bench, SEARCHED))
    available = predictor.training(lora.entry, lora.label, 2).peak_bytes
    assert lora.bytes > available
    from tests.studies import small_study

    study = small_study(methods={"lora": MANY["lora"]}, search=SEARCH, slots=3)
    advised = ["protocol.micro_batch_size=2", "protocol.grad_accum_steps=4", "slots=1"]
    changed = open_workbench(study_from_mapping(study, advised, folder=place), "cpu")
    other = Predictor(changed)
    assert (
        remedy(
            changed, other, needs_of(changed, other, first_candidates(changed, SEARCHED)), available
        )
        is None
    )


def test_a_study_far_below_what_is_free_is_not_traced(
    bench: Workbench, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = max(need.bytes for need in needs_of(bench, predictor, first_candidates(bench, SEARCHED)))
    assert not surely_fits(bench, 2 * most)
    assert surely_fits(bench, 64 << 30)
    monkeypatch.setattr(fit, "free_bytes", lambda device: 64 << 30)
    monkeypatch.setattr(fit, "Predictor", None)  # would fail if it were called
    fit.check_fit(bench, first_candidates(bench, SEARCHED))


@pytest.mark.usefixtures("quick")
def test_run_refuses_what_cannot_fit_and_leaves_nothing(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "free_bytes", lambda device: 1 << 20)
    # Of two rows: each size that is tried has to be traced, over bases in three formats.
    outcome = run_small(protocol={"micro_batch_size": 2, "grad_accum_steps": 1})
    assert outcome.code == 2
    assert "methods.lora: needs about" in outcome.message
    assert "this machine has" in outcome.message and "--force" in outcome.message
    assert "--set protocol.micro_batch_size=" in outcome.message
    assert not (place / "out/study.yaml").exists()


@pytest.mark.usefixtures("quick")
def test_force_goes_on(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Callable[[], Any]
) -> None:
    monkeypatch.setattr(fit, "free_bytes", lambda device: 1 << 20)
    assert run_small("--force").code == 0
    assert results()["status"] == "complete"


@pytest.mark.usefixtures("quick", "quick_plans")
def test_a_budget_below_the_bare_arithmetic_is_noted_and_not_refused(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.study.introducing.least_training_seconds", lambda *_: 7200.0)
    outcome = run_small("--budget", "1h")
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    assert "note training takes at least 2.0 h here, and the budget leaves 5" in said
    monkeypatch.setattr("bakeoff.study.introducing.least_training_seconds", lambda *_: 60.0)
    assert "takes at least" not in run_small("--fresh", "--budget", "1h").out


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 5 << 20
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available_bytes() == free
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    assert memory.available_bytes() == free
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available_bytes() == 350


def test_every_group_above_the_process_counts_in_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text("4:cpu,memory:/a/b\n3:cpuset:/\n0::/c/d\n")

    def limit(folder: Path, first: bool, most: int, used: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        names = ("limit_in_bytes", "usage_in_bytes") if first else ("max", "current")
        for name, value in zip(names, (most, used), strict=True):
            (folder / f"memory.{name}").write_text(f"{value}\n")
        (folder / "memory.stat").write_text("inactive_file 3\ntotal_inactive_file 5\n")

    limit(tmp_path / "memory/a/b", True, 9223372036854771712, 10)
    limit(tmp_path / "memory/a", True, 1000, 100)
    assert memory.available_bytes() == 905
    limit(tmp_path / "c", False, 800, 100)
    assert memory.available_bytes() == 703
    limit(tmp_path / "c/d", False, 100, 200)
    assert memory.available_bytes() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_the_limit_of_the_address_space_counts() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = memory._status_bytes("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), hard))
    try:
        assert memory.available_bytes() == pytest.approx(1 << 28, abs=1 << 26)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_the_margin_is_as_large_as_forecasts_were_too_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    assert forecasts.margin() == 0.1
    forecasts.keep(100 << 20, 900 << 20)  # too small to say anything
    assert forecasts.margin() == 0.1
    forecasts.keep(20 << 30, 24 << 30)
    assert forecasts.margin() == pytest.approx(1 - 20 / 24)
    forecasts.keep(20 << 30, 19 << 30)
    assert forecasts.margin() == pytest.approx(1 - 20 / 24)
    forecasts.keep(1 << 30, 90 << 30)
    assert forecasts.margin() == 0.4
    for _ in range(20):
        forecasts.keep(20 << 30, 20 << 30)
    assert forecasts.margin() == 0.1
    (tmp_path / "memory-forecasts.json").write_text('[["x", 1], [0, 1]]')
    assert forecasts.margin() == 0.1


def test_a_peak_of_before_the_study_says_nothing_of_its_forecast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[tuple[int, int]] = []
    sizes = {False: 50, True: 90}
    monkeypatch.setattr(forecasts, "keep", lambda *pair: kept.append(pair))
    monkeypatch.setattr(forecasts, "resident_bytes", lambda *, highest=False: sizes[highest])
    watch = forecasts.Watch(60, held=20)
    watch.keep()
    assert kept == [], "the 90 were an earlier study's"
    sizes[True] = 110
    watch.keep()
    assert kept == [(60, 110 - (50 - 20))]


def test_a_study_within_the_margin_is_refused(
    bench: Workbench, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not what earlier studies of this machine have shown of its forecasts.
    monkeypatch.setattr(fit, "margin", lambda: forecasts.LEAST_MARGIN)
    bench = replace(bench, engine=replace(bench.engine, gradient_checkpointing=False))
    schedule = first_candidates(bench, SEARCHED)
    most = max(need.bytes for need in needs_of(bench, predictor, schedule))
    free = most - predictor.all_bytes
    monkeypatch.setattr(fit, "free_bytes", lambda device: int(free * 1.05))
    with pytest.raises(fit.DoesNotFitError, match="free beyond a margin of 10%"):
        fit.check_fit(bench, schedule)
    monkeypatch.setattr(fit, "free_bytes", lambda device: int(free * 1.2))
    assert fit.check_fit(bench, schedule)[1] == most


@pytest.fixture
def any_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of several kinds, as a GPU has them."""
    monkeypatch.setattr(fit, "kind_apart", lambda method: "")


def _mixed(place: Path, **changes: Any) -> dict[str, Need]:
    methods = {
        "lora": {"rank": 2, "learning_rate": 1e-3},
        "narrow": {"kind": "bottleneck", "size": 2, "learning_rate": 1e-3},
        "wide": {"kind": "bottleneck", "size": 4, "learning_rate": 1e-3},
        "soft": {"kind": "soft_prompt", "prompt_length": 3, "learning_rate": 1e-2},
    }
    study = study_from_mapping(small_study(methods=methods, **changes), folder=place)
    bench = open_workbench(study, "cpu")
    found = needs_of(bench, Predictor(bench), first_candidates(bench, None))
    return {need.entry.name: need for need in found}


@pytest.mark.usefixtures("any_kinds")
def test_a_slot_has_room_for_every_kind_of_its_pass(place: Path) -> None:
    needs = _mixed(place, slots=3)
    held = {name: need.alone.held_bytes for name, need in needs.items()}
    # Both bottlenecks are one kind, padded to the wider.
    assert needs["lora"].neighbour_bytes == held["wide"] > held["narrow"] > 0
    assert needs["narrow"].neighbour_bytes == held["lora"]
    lora = needs["lora"]
    more = lora.slots * lora.neighbour_bytes
    assert lora.bytes == lora.alone.base_bytes + lora.slots * lora.alone.slot_bytes + more
    assert lora.fitting_slots(lora.bytes) == lora.slots == 3
    assert lora.fitting_slots(lora.bytes - 1) == 2
    # One alone has none beside it.
    assert lora.fitting_slots(lora.alone.base_bytes + lora.alone.slot_bytes) == 1
    assert lora.fitting_slots(lora.alone.base_bytes + lora.alone.slot_bytes - 1) == 0


def test_on_a_cpu_no_pass_holds_another_kind(place: Path) -> None:
    needs = _mixed(place, slots=3)
    assert [need.neighbour_bytes for need in needs.values()] == [0, 0, 0, 0]
    assert needs["lora"].slots == 1 and needs["wide"].slots == 2


@pytest.mark.usefixtures("any_kinds")
def test_who_does_not_share_a_pass_adds_nothing(place: Path) -> None:
    # Two seeds of each method in passes of two: every pass is of one kind.
    needs = _mixed(place, slots=2, protocol={"epochs": 1, "seeds": [0, 1]})
    assert [need.neighbour_bytes for need in needs.values()] == [0, 0, 0, 0]


def test_what_acts_on_all_slots_keeps_its_activations_there(place: Path) -> None:
    together = [need for name, need in _mixed(place, slots=3).items() if name != "soft"]
    own = neighbours_of(together, is_eager=True)
    everywhere = neighbours_of(together, is_eager=False)
    assert all(everywhere[name] >= own[name] for name in own)
    assert sum(everywhere.values()) > sum(own.values())
