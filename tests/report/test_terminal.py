"""The table at the end of a run and the list of methods, at the width of a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bakeoff.cli.catalogue import describe_methods, print_methods
from bakeoff.decide.limits import Limits
from bakeoff.errors import StoreError
from bakeoff.report.terminal import print_summary
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.records import CostRecord, EpochSeconds, Estimate, Results
from bakeoff.types import RunState
from tests.decide.made import study_of, with_set
from tests.golden_folders import Change, copy_of, golden, renamed, with_methods

LONG = "lora_on_all_linear_layers_with_rank_32_and_a_long_name_of_64_cha"
LARGE = CostRecord(
    trainable_parameters=125_198_592,
    epoch_seconds=EpochSeconds(mean=1234.5),
    peak_memory_bytes=9_810 << 20,
    adapter_bytes=500_794_368,
)


def enlarged(results: Results) -> Results:
    """Figures as wide as they come, and a method of the longest name that has none."""
    scores = {key: Estimate(mean=0.3456) for key in results.methods["full"].test}
    changed = with_methods(
        results,
        full={"cost": LARGE, "test": {**scores, "nll": Estimate(mean=12.3456)}},
        lora={"cost": CostRecord(), "test": {}},
    )
    return renamed(changed, {"lora": LONG})


def summary(
    folder: Path, change: Change | None, width: int, limits: Limits | None = None
) -> list[str]:
    copy_of("four", folder, change)
    file = io.StringIO()
    print_summary(folder, Console(file=file, width=width), limits)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_at_the_width_of_a_terminal(tmp_path: Path, width: int) -> None:
    lines = summary(tmp_path, enlarged, width)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(map(len, lines)) <= width
    # A second score counts for more than the shares of empty and unfinished outputs.
    more = ["R-1", "R-2", "R-L"]
    counted = ["empty", "unfinished"] if width == 120 else []
    heads = ["method", "test", "NLL", *more, *counted, "params", "epoch", "memory", "adapter"]
    assert lines[1].split() == heads
    said = [line for line in lines if line.startswith("Only in the report: ")]
    missing = "ROUGE-Lsum, empty outputs and unfinished outputs"
    if width == 120:
        missing = "ROUGE-Lsum"
    assert said == [f"Only in the report: {missing}."]
    row = next(line for line in lines if line.startswith("full "))
    scores = "12.3456" + len(more) * " 34.6"
    shares = " 10.4 % 0 %" if counted else ""
    assert " ".join(row.split()) == f"full {scores}{shares} 125 M 1234.5 s 9.58 GiB 478 MiB"
    zero = golden("four").baselines["zero_shot"].test["nll"].mean
    assert next(line for line in lines if line.startswith("zero-shot")).split()[1] == f"{zero:.4f}"
    assert next(line for line in lines if line.startswith("lead-3")).split()[1] == "–"
    # A long name takes more lines, in order and whole; what is not known is a dash.
    start = next(i for i, line in enumerate(lines) if line.startswith("lora_on"))
    name = "".join(line.split()[0] for line in lines[start:] if line.startswith(tuple(LONG)))
    assert LONG in name
    outputs = ["50", "%", "2.08", "%"] if counted else []
    assert lines[start].split()[1:] == ["–"] * (1 + len(more)) + outputs + ["–"] * 4


def test_the_recommendation_is_the_last_word(tmp_path: Path) -> None:
    lines = summary(tmp_path, None, 600)
    why = golden("four").recommendation.why
    assert why.startswith(
        "The best baseline, zero-shot, reaches a test NLL of 5.554 nats per token"
    )
    assert lines[-1] == f"Use full: the{why.removeprefix('The')}"


def test_limits_are_kept_to(tmp_path: Path) -> None:
    text = " ".join(summary(tmp_path, None, 400, Limits(adapter_size=1e3)))
    assert "lora_small misses fewest" in text or "misses fewest: adapter size" in text


def test_what_failed_and_what_is_missing_is_said(tmp_path: Path) -> None:
    def failed(results: Results) -> Results:
        bad = {"state": RunState.FAILED, "reason": "no [memory] left", "test": {}}
        return replace(with_methods(results, lora=bad), status="partial")

    lines = summary(tmp_path, failed, 400)
    assert lines[-2] == "lora failed: no [memory] left"
    assert lines[-1] == "The study is not complete; the same command tries the rest again."


def test_results_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", {})
    with pytest.raises(StoreError, match=r"results\.json: not found"):
        print_summary(folder.path, Console(file=io.StringIO()))


def test_every_method_is_listed_with_its_options() -> None:
    file = io.StringIO()
    print_methods(Console(file=file, width=80))
    text = file.getvalue()
    flowing = " ".join(text.split())
    for described in describe_methods():
        assert f"{described['kind']}: {described['title']}" in flowing
        for option in described["options"]:
            assert f"\n  {option}: " in text
    assert "\n  alpha: 32.0  (float | None; fixed" in text
    assert "\n  tied: false  (bool)" in text
    # What does not fit goes on below, indented.
    starts = tuple(f"{described['kind']}: " for described in describe_methods())
    assert all(line.startswith(("  ", *starts)) for line in text.splitlines())


@pytest.mark.parametrize("width", [40, 59])
def test_a_narrow_terminal_has_a_block_for_each_method(tmp_path: Path, width: int) -> None:
    def change(results: Results) -> Results:
        return renamed(enlarged(results), {LONG: "lora"})

    lines = summary(tmp_path, change, width)
    start = lines.index("full")
    assert lines[start + 1 : start + 11] == [
        "  test NLL: 12.3456",
        "  R-1: 34.6",
        "  R-2: 34.6",
        "  R-L: 34.6",
        "  empty: 10.4 %",
        "  unfinished: 0 %",
        "  params: 125 M",
        "  epoch: 1234.5 s",
        "  memory: 9.58 GiB",
        "  adapter: 478 MiB",
    ]
    for name in ("zero-shot", "lead-3", *golden("four").methods):
        assert lines.count(name) == 1
    # What has no figure has no line, and the answer is under the blocks.
    zero = lines.index("zero-shot")
    assert not any(line.startswith("  params") for line in lines[zero : lines.index("lead-3")])
    assert max(i for i, line in enumerate(lines) if line.startswith("  adapter")) < len(lines) - 1


@pytest.mark.parametrize("width", [40, 80, 160])
def test_two_metrics_are_kept_and_what_is_left_out_is_said(tmp_path: Path, width: int) -> None:
    def by_rouge(results: Results) -> Results:
        metrics = tuple(replace(m, primary=m.name == "rouge1") for m in results.task.metrics)
        return replace(results, task=replace(results.task, metrics=metrics))

    lines = summary(tmp_path, by_rouge, width)
    text = " ".join(lines)
    for metric in ("test ROUGE-1", "NLL"):
        assert metric in text
    left_out = next((line for line in lines if line.startswith("Only in the report: ")), "")
    for title, short in (("ROUGE-2", "R-2"), ("ROUGE-L", "R-L"), ("ROUGE-Lsum", "R-Lsum")):
        assert (f" {short}" in text) != (title in re.split("[:;,. ]+", left_out))
    assert ("empty outputs" in left_out) == (width == 80)
    if width > 60:
        assert lines[1].index("test ROUGE-1") < lines[1].index("NLL")


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "xterm"}, {}])
def test_no_figure_is_broken_and_no_name_is_lost(
    tmp_path: Path, width: int, environment: dict[str, str]
) -> None:
    copy_of("four", tmp_path, None)
    file = io.StringIO()
    console = Console(
        file=file, width=width, _environ=environment, force_terminal=bool(environment)
    )
    print_summary(tmp_path, console)
    text = file.getvalue()
    assert "…" not in text
    if environment.get("TERM") != "xterm":
        assert "\x1b" not in text
    assert not any(code in text for code in ("\x1b[31m", "\x1b[33m"))
    found = golden("four")
    for name, method in found.methods.items():
        assert name in text
        assert f"{method.test['nll'].mean:.4f}" in text


@pytest.mark.parametrize(
    ("width", "starts"), [(80, ["lora", "@tiny", "@short"]), (160, ["lora@tiny@short"])]
)
def test_a_crossed_name_is_broken_between_its_parts(
    tmp_path: Path, width: int, starts: list[str]
) -> None:
    lines = summary(tmp_path, lambda found: renamed(found, {"lora": "lora@tiny@short"}), width)
    firsts = [line.split()[0] for line in lines if line.strip()]
    at = firsts.index(starts[0])
    assert firsts[at : at + len(starts)] == starts


def bracketed(results: Results) -> Results:
    """A metric of one's own whose title holds what looks like markup, and a set with it."""
    study = with_set(study_of({"lora": 3.0, "head": 3.5}), {"lora": 2.3, "zero_shot": 2.0}, 0.05)
    title = "acc [/5]"
    metrics = tuple(replace(metric, title=title) for metric in study.task.metrics)
    also = {
        name: replace(one, metrics=tuple(replace(metric, title=title) for metric in one.metrics))
        for name, one in study.also_test.items()
    }
    return replace(study, task=replace(study.task, metrics=metrics), also_test=also)


@pytest.mark.parametrize("width", [40, 100])
def test_brackets_in_a_title_are_no_markup(tmp_path: Path, width: int) -> None:
    lines = summary(tmp_path, bracketed, width)
    assert len([line for line in lines if "acc [/5]" in line]) >= 2
    assert not any("\\[" in line for line in lines)
