"""Bad input through the real entry point: one clear message, exit code 2, nothing else touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config, scratch_model

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("quick")


def assert_refused(outcome: Any, *parts: str) -> None:
    """One message on standard error that holds all parts, exit code 2 and no traceback."""
    assert outcome.code == 2, outcome.err + outcome.out
    assert outcome.message.startswith("Error: ")
    assert "Traceback" not in outcome.err + outcome.out
    assert [part for part in parts if part not in outcome.message] == [], outcome.message


def rewrite(file: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    change(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("protocol.epoch=3", ["protocol.epoch = 3", "did you mean epochs?"]),
        ("methods.x={kind: loar}", ["methods.x.kind", "'loar'", "did you mean 'lora'?"]),
        ("methods={}", ["methods", "name at least one"]),
        ("search={pruner: half}", ["search.pruner", "half", "halving"]),
        ("search.learning_rates=0", ["search.learning_rates: 0", "at least 1"]),
        ("methods.lora.rank=[2, 4]", ["methods.lora.rank", "set search"]),
        ("protocol.epochs", ["--set 'protocol.epochs'", "equals sign"]),
        ("task.source=nowhere/rows", ["task.source", "nowhere/rows", "Check the name"]),
        ("task.document=body", ["'body'", "text", "short", "task.document"]),
        ("task.max_length=30", ["task.max_length is 30", "leave no room", "or more"]),
        ("task.max_length=300", ["task.max_length: 300", "256 positions", "at most 256"]),
        ("generation.max_new_tokens=200", ["generation.max_new_tokens: 200", "256", "lower"]),
        (
            "methods.lora.target_modules=[q_prj]",
            ["methods.lora.target_modules", "'q_prj'", "did you mean 'q_proj'?", "all-linear"],
        ),
        (
            "methods.s={kind: soft_prompt, prompt_length: 400}",
            ["methods.s.prompt_length", "400", "256 positions"],
        ),
        (
            "methods.s={kind: soft_prompt, prompt_length: 200}",
            ["methods.s.prompt_length", "200", "256", "lower task.max_length"],
        ),
        ("base=scratch:huge", ["scratch:huge", "scratch:tiny-gpt-neo"]),
        ("base=no/such/folder", ["no/such/folder", "tiny", "smollm2-135m"]),
        (
            "base=nobody/nothing",
            ["nobody/nothing", "cannot be reached", "HF_HUB_OFFLINE", "'tiny'", "scratch:"],
        ),
    ],
)
def test_a_wrong_option_is_refused_and_leaves_no_run(
    run_small: Run, place: Path, trained: list[str], override: str, parts: list[str]
) -> None:
    assert_refused(run_small("--set", override), *parts)
    assert trained == []
    assert not (place / "out").exists() or list((place / "out").iterdir()) == []


def test_the_mended_study_runs_in_the_same_folder(run_small: Run, trained: list[str]) -> None:
    assert_refused(run_small("--set", "task.document=body"), "'body'")
    assert run_small().code == 0
    assert trained == ["lora-lr0.01-s0"]


@pytest.mark.parametrize(
    "override",
    ["protocol.max_grad_norm=2.0", "protocol.epoch=2", "task.document=body", "base=no/such"],
)
def test_earlier_results_are_not_touched(
    finished: Run,
    run_small: Run,
    place: Path,
    contents: Callable[[Path], Mapping[str, bytes]],
    override: str,
) -> None:
    finished()
    before = contents(place / "out")
    assert "results.json" in before

    assert run_small("--set", override).code == 2

    assert contents(place / "out") == before


def test_a_folder_of_another_study_names_the_keys_that_differ(
    finished: Run, run_small: Run
) -> None:
    finished()
    outcome = run_small("--set", "protocol.epochs=2", "--set", "methods.lora.rank=4")
    assert_refused(
        outcome,
        "out: holds the results of another study",
        "protocol.epochs: 1 and 2",
        "methods.lora.rank: 2 and 4",
        "--out",
        "--fresh",
    )


def test_fresh_puts_an_earlier_run_aside(
    finished: Run, run_small: Run, place: Path, contents: Callable[[Path], Mapping[str, bytes]]
) -> None:
    finished()
    before = contents(place / "out")
    outcome = run_small("--fresh", "--set", "methods.lora.rank=4")
    assert outcome.code == 0
    [aside] = place.glob("out.before-*")
    assert f"the earlier run was put aside: {aside}" in outcome.out
    assert contents(aside) == before
    assert contents(place / "out")["study.yaml"] != before["study.yaml"]


@pytest.mark.parametrize(
    "arguments",
    [("--device", "cuda:7"), ("--set", "task.source=nowhere"), ("--set", "base=./nowhere")],
)
def test_a_fresh_study_that_is_refused_leaves_the_earlier_run_where_it_was(
    finished: Run,
    run_small: Run,
    place: Path,
    contents: Callable[[Path], Mapping[str, bytes]],
    arguments: tuple[str, ...],
) -> None:
    finished()
    before = contents(place / "out")
    outcome = run_small("--fresh", *arguments)
    assert outcome.code == 2 and "put aside" not in outcome.words
    assert contents(place / "out") == before
    assert not list(place.glob("out.before-*"))
    assert "This study is complete" in run_small().out


@pytest.mark.parametrize("arguments", [(), ("--fresh",)])
def test_a_folder_with_other_files_is_left_alone(
    run_small: Run, place: Path, arguments: tuple[str, ...]
) -> None:
    (place / "out").mkdir()
    (place / "out/letter.txt").write_text("dear", encoding="utf-8")
    assert_refused(run_small(*arguments), "holds files but no study.yaml", "--out")
    assert [file.name for file in place.glob("out*/*")] == ["letter.txt"]


def test_a_torn_study_file_is_refused(finished: Run, run_small: Run, place: Path) -> None:
    """Where ``inputs.json`` does not keep the study: in a folder of an older version."""
    finished()
    inputs = json.loads((place / "out/inputs.json").read_text(encoding="utf-8"))
    del inputs["study"]
    (place / "out/inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    (place / "out/study.yaml").write_text("name: [", encoding="utf-8")
    assert_refused(run_small(), "out/study.yaml", "cannot be read back", "--fresh")


@pytest.mark.parametrize("target", ["taken", "taken/below"])
def test_a_file_in_the_folders_place_is_refused(cli: Run, place: Path, target: str) -> None:
    (place / "taken").write_text("", encoding="utf-8")
    assert_refused(cli("run", "--out", target), "taken", "--out")
    assert (place / "taken").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_split_is_named(run_small: Run, place: Path, split: str) -> None:
    (place / f"rows/{split}.jsonl").write_text("", encoding="utf-8")
    assert_refused(run_small(), "task.source", f"{split}.jsonl is empty", "at least one row")


def test_a_split_of_bad_rows_alone_is_empty(run_small: Run, place: Path) -> None:
    rewrite(place / "rows/test.jsonl", lambda rows: [row.update(short="") for row in rows])
    outcome = run_small("--set", "task.on_bad_row=skip")
    assert_refused(outcome, "the test split is empty", "all of its 4 rows are bad", "task.summary")


def test_empty_summaries_are_refused_by_row_or_skipped(
    run_small: Run, place: Path, results: Callable[[], dict[str, Any]]
) -> None:
    def spoil(rows: list[dict[str, Any]]) -> None:
        rows[2]["short"] = "  "
        rows[5]["short"] = None

    rewrite(place / "rows/train.jsonl", spoil)

    assert_refused(run_small(), "rows 3, 6 (2 in all)", "'short'", "task.on_bad_row: skip")

    assert run_small("--set", "task.on_bad_row=skip").code == 0
    assert results()["data"]["train"]["rows_skipped"] == 2
    assert results()["data"]["train"]["examples"] == 14
    assert any("2 bad rows of train were left out" in note for note in results()["notes"])


def test_bytes_that_are_not_utf8_are_refused(run_small: Run, place: Path) -> None:
    file = place / "rows/test.jsonl"
    file.write_bytes(file.read_bytes().replace(b"fair", b"fa\xefr", 1))
    assert_refused(run_small(), "test.jsonl", "UTF-8")


def test_a_summary_too_long_for_max_length_is_refused_by_row(run_small: Run, place: Path) -> None:
    rewrite(place / "rows/test.jsonl", lambda rows: rows[1].update(short="far " * 40))
    assert_refused(run_small(), "task.max_length is 96", "row 2", "test.jsonl", "it is never cut")


def test_an_encoder_is_no_base(run_small: Run, place: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=257, num_hidden_layers=1, **sizes)
    with silence_libraries():
        BertForMaskedLM(config).save_pretrained(place / "bert")
        byte_tokenizer(256).save_pretrained(place / "bert")
    assert_refused(run_small(base="bert"), "bert", "no decoder", "causal language model")


def test_weights_that_can_run_code_are_refused(run_small: Run, place: Path) -> None:
    config = scratch_config("scratch:tiny-gpt-neo")
    with silence_libraries():
        model = scratch_model(config)
        model.save_pretrained(place / "base")
        byte_tokenizer(256).save_pretrained(place / "base")
    (place / "base/model.safetensors").unlink()
    torch.save(model.state_dict(), place / "base/pytorch_model.bin")
    assert_refused(
        run_small(base="base"), "pytorch_model.bin", "not safetensors", "save_pretrained"
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1"])
def test_an_unknown_device_is_refused(run_small: Run, device: str) -> None:
    assert_refused(run_small("--device", device), f"'{device}'", "auto, cpu or cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(run_small: Run) -> None:
    assert_refused(run_small("--device", "cuda"), "no CUDA device", "use cpu or auto")


def test_a_torn_adapter_is_named_and_its_candidate_trained_again(
    run_small: Run, place: Path, trained: list[str], results: Callable[[], dict[str, Any]]
) -> None:
    methods = {"lora": {"learning_rate": 1e-2}, "head": {"learning_rate": 1e-2}}
    run_small(methods=methods)
    before = results()
    torn, whole = place / "out/candidates/lora-lr0.01-s0", place / "out/candidates/head-lr0.01-s0"
    for folder in (torn, whole):
        (folder / "predictions.jsonl").unlink()
    (place / "out/results.json").unlink()
    weights = torn / "adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    trained.clear()

    assert run_small(methods=methods).code == 0
    assert trained == ["lora-lr0.01-s0"]
    assert any("adapter_model.safetensors: has" in note for note in results()["notes"])
    for name, method in results()["methods"].items():
        nll = method["test"]["nll"]["mean"]
        assert nll == pytest.approx(before["methods"][name]["test"]["nll"]["mean"], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "--nope"], ["No such option", "--nope"]),
        (["run", "--out"], ["--out", "requires an argument"]),
        (["run", "a.yaml", "b.yaml"], ["b.yaml"]),
        (["bake"], ["No such command", "bake"]),
        (["report"], ["Missing argument"]),
    ],
)
def test_a_wrong_command_line_ends_with_2(cli: Run, arguments: list[str], parts: list[str]) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert [part for part in parts if part not in outcome.err] == []
    assert "Traceback" not in outcome.err


def test_a_study_that_is_not_there_is_refused(cli: Run) -> None:
    assert_refused(cli("run", "nowhere.yaml"), "nowhere.yaml", "cannot be read", "embedded demo")


def test_brackets_in_a_message_are_not_taken_for_markup(run_small: Run, place: Path) -> None:
    odd = place / "[red]rows[b]"
    shutil.copytree(place / "rows", odd)
    (odd / "test.jsonl").unlink()
    outcome = run_small(task={"source": odd.name})
    assert_refused(outcome, "[red]rows[b]", "test")
