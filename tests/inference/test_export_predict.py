"""Candidates leave their run: exported, or at work on documents that the study never saw."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bakeoff.base.library_output import silence_libraries
from bakeoff.inference import export
from bakeoff.inference.finished import FinishedRun

Run = Callable[..., Any]
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": [2, 4], "learning_rate": [1e-2]},
    "dora": {"rank": 2, "dropout": 0.1, "learning_rate": [1e-2]},
    "head": {"learning_rate": [1e-2]},
    "soft_prompt": {"prompt_length": 3, "learning_rate": [1e-2]},
    "full": {"learning_rate": [1e-3]},
    "loha": {"kind": "peft", "peft_type": "LOHA", "r": 2, "learning_rate": [1e-2]},
}
SEARCH = {"learning_rates": 1, "seeds": 1, "growth": 0}
IDS = {
    "lora": "lora-rank2-lr0.01-s1000",
    "dora": "dora-lr0.01-s0",
    "head": "head-lr0.01-s0",
    "soft_prompt": "soft_prompt-lr0.01-s0",
    "full": "full-lr0.001-s0",
    "loha": "loha-lr0.01-s0",
}
LINES: list[dict[str, Any]] = [
    {"text": f"Row {i}: a text of some words, number {i}.", "other": i} for i in range(3)
]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run's folder, made by the first test that needs it."""
    return {"root": tmp_path_factory.mktemp("kept")}


@pytest.fixture
def run(kept: dict[str, Path], place: Path, run_small: Run) -> Path:
    """``out``, a complete run of six methods."""
    if "run" not in kept:
        outcome = run_small(methods=METHODS, search=SEARCH)
        assert outcome.code == 0, outcome.err
        kept["run"] = kept["root"] / "out"
        shutil.copytree(place / "out", kept["run"])
    shutil.copytree(kept["run"], place / "out", dirs_exist_ok=True)
    return place / "out"


@pytest.fixture
def lines(place: Path) -> Path:
    file = place / "in.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")
    return file


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def candidate_logits(run: Path, candidate: str) -> tuple[torch.Tensor, torch.Tensor]:
    """([1, T] ids, [1, T, V] logits of the run's candidate)."""
    from bakeoff.engine.cohort import Cohort

    finished = FinishedRun(run, "cpu")
    found = finished.candidate(candidate)
    ids = torch.arange(1, 9)[None]
    with Cohort(finished.base, [found.method], 1) as cohort, torch.no_grad():
        cohort.seat(0, found.method, found.load())
        hidden_KBTD, _ = cohort.hidden_states(ids[None])
        weight, bias = cohort.head()
        weight = weight[0] if weight.dim() == 3 else weight
        logits = torch.nn.functional.linear(hidden_KBTD[0], weight, bias)
    return ids, logits


@pytest.mark.parametrize("kind", ["lora", "dora", "head", "full", "loha"])
def test_the_merged_model_is_the_candidate(run: Path, cli: Run, place: Path, kind: str) -> None:
    outcome = cli("export", "out", "--candidate", IDS[kind], "--to", "merged", "--out", "m/deep")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{IDS[kind]} (merged): m/deep\n"
    ids, expected = candidate_logits(run, IDS[kind])
    auto: Any = AutoModelForCausalLM
    with silence_libraries(), torch.no_grad():
        model = auto.from_pretrained(str(place / "m/deep")).eval()
        assert (model(input_ids=ids).logits - expected).abs().max() <= 1e-5
        assert len(AutoTokenizer.from_pretrained(str(place / "m/deep"))) > 0
    assert sorted(p.name for p in (place / "m").iterdir()) == ["deep"]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_pefts_files_load_with_the_same_logits(run: Path, cli: Run, place: Path, kind: str) -> None:
    assert cli("export", "out", "--candidate", IDS[kind], "--to", "peft", "--out", "p").code == 0
    ids, expected = candidate_logits(run, IDS[kind])
    model: Any = FinishedRun(run, "cpu").base.model
    with torch.no_grad():
        tuned: Any = peft.PeftModel.from_pretrained(model, str(place / "p")).eval()
        assert (tuned(input_ids=ids).logits - expected).abs().max() <= 1e-5


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kind", ["lora", "dora", "full", "loha"])
def test_a_lora_is_made_of_whatever_changes_weights(
    run: Path, cli: Run, place: Path, kind: str
) -> None:
    outcome = cli("export", "out", "--candidate", IDS[kind], "--to", "lora", "--out", "l")
    assert outcome.code == 0, outcome.err
    found = json.loads((place / "l" / "bakeoff_conversion.json").read_text(encoding="utf-8"))
    assert found["validation_rows"] == 4 and f"{found['nll_after']:.4f}" in outcome.out
    assert abs(found["nll_after"] - found["nll_before"]) < abs(
        found["nll_untuned"] - found["nll_before"]
    )
    assert found["rank"] == (2 if kind == "lora" else found["rank"]) <= 64
    config = json.loads((place / "l" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == config["lora_alpha"] == found["rank"]
    assert not config["rank_pattern"] and not config["use_dora"]
    ids, expected = candidate_logits(run, IDS[kind])
    weights: Any = FinishedRun(run, "cpu").base.source.weights
    model = weights.read()
    with torch.no_grad():
        untuned = model(input_ids=ids).logits
        tuned: Any = peft.PeftModel.from_pretrained(model, str(place / "l")).eval()
        gap = (tuned(input_ids=ids).logits - expected).norm() / (untuned - expected).norm()
    if found["parameters_left_out"]:
        assert gap < 1
    else:
        assert gap < 0.05


def test_a_rank_that_is_too_small_says_what_it_leaves_out(run: Path, cli: Run, place: Path) -> None:
    name = IDS["full"]
    outcome = cli("export", "out", "--candidate", name, "--to", "lora", "--rank", 1, "--out", "l")
    assert outcome.code == 0, outcome.err
    found = json.loads((place / "l" / "bakeoff_conversion.json").read_text(encoding="utf-8"))
    assert found["rank"] == 1 and 0.1 < found["update_norm_left_out"] < 1
    assert "transformer.wte.weight" in found["parameters_left_out"]


def test_without_a_recommendation_the_best_on_validation_is_taken_and_named(
    run: Path, cli: Run, place: Path
) -> None:
    outcome = cli("export", "out", "--to", "lora", "--out", "l")
    assert outcome.code == 0, outcome.err
    assert "lowest NLL on validation" in outcome.out


def test_a_model_in_bfloat16_is_measured(run: Path, cli: Run, place: Path) -> None:
    settings = ("--to", "merged", "--precision", "bfloat16", "--out", "b")
    outcome = cli("export", "out", "--candidate", IDS["lora"], *settings)
    assert outcome.code == 0, outcome.err
    assert "In bfloat16 on 4 validation rows" in outcome.out
    found = json.loads((place / "b" / "bakeoff_conversion.json").read_text(encoding="utf-8"))
    assert 0 < abs(found["nll_after"] - found["nll_before"]) < 0.1
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        assert auto.from_pretrained(str(place / "b"), dtype="auto").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "lora", "--candidate", IDS["soft_prompt"]), "changes no weights"),
        (("--to", "lora", "--candidate", IDS["head"]), "no weight of a linear layer"),
        (("--to", "gguf-lora", "--candidate", IDS["lora"]), "gpt_neo is none of"),
        (("--to", "peft", "--candidate", IDS["lora"], "--rank", "3"), "--rank has no effect"),
        (("--to", "peft", "--candidate", IDS["head"]), "PEFT has no files for head"),
        (("--to", "merged", "--candidate", IDS["soft_prompt"]), "changes no weights"),
        (
            (
                "--to",
                "onnx",
            ),
            "--to: 'onnx' is not a form of export; give peft, merged, lora or gguf-lora",
        ),
        (("--to", "peft", "--candidate", "lora-rank2-lr0.01-s1"), "did you mean lora-rank"),
    ],
)
def test_what_cannot_be_exported_says_why_and_leaves_nothing(
    run: Path, cli: Run, place: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = sorted(place.iterdir())
    outcome = cli("export", "out", *arguments, "--out", "e")
    assert outcome.code == 2
    assert words in outcome.err
    assert sorted(place.iterdir()) == before


def test_an_existing_folder_is_refused_and_a_failure_is_cleaned_up(
    run: Path, cli: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "there").mkdir()
    arguments = ("export", "out", "--candidate", IDS["lora"], "--to", "merged", "--out")
    outcome = cli(*arguments, "there")
    assert outcome.code == 2
    assert "there: exists already, and nothing is overwritten; name a new folder" in outcome.err

    def torn(base: Any, weights: Any, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_checkpoint", torn)
    before = sorted(place.iterdir())
    outcome = cli(*arguments, "fresh")
    assert outcome.code == 2
    assert "the disk is full" in outcome.err
    assert sorted(place.iterdir()) == before


def test_predictions_are_those_of_the_study(run: Path, cli: Run, place: Path) -> None:
    """The test rows again, by each method, against what the study wrote for them."""
    kept = [json.loads(line) for line in (run / "examples.jsonl").read_text().splitlines()]
    (place / "again.jsonl").write_text(
        "".join(json.dumps({"text": row["input"]}) + "\n" for row in kept), encoding="utf-8"
    )
    chosen = [a for i in IDS.values() for a in ("--candidate", i) if (predictions(run, i))]
    outcome = cli("predict", "out", "again.jsonl", *chosen, "--json")
    assert outcome.code == 0, outcome.err
    found: dict[str, list[str]] = {}
    for line in outcome.out.splitlines():
        row = json.loads(line)
        found.setdefault(row["candidate"], []).append(row["summary"])
    assert len(found) >= 5
    for candidate, summaries in found.items():
        assert summaries == [row["prediction"] for row in predictions(run, candidate) or []]


def predictions(run: Path, candidate: str) -> list[Mapping[str, Any]] | None:
    file = run / "candidates" / candidate / "predictions.jsonl"
    if not file.exists():
        return None
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_merged_candidates_write_the_same_one_after_the_other(
    run: Path, cli: Run, lines: Path
) -> None:
    kinds = ("lora", "head", "dora", "full", "loha")
    chosen = [a for k in kinds for a in ("--candidate", IDS[k])]
    apart = cli("predict", "out", lines.name, *chosen)
    merged = cli("predict", "out", lines.name, *chosen, "--merged")
    assert apart.code == merged.code == 0
    assert merged.out == apart.out
    assert [line.partition("\t")[0] for line in merged.out.splitlines()] == [
        IDS[k] for k in kinds for _ in LINES
    ]


def test_documents_come_from_files_and_the_standard_input(
    run: Path, cli: Run, place: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "one.txt").write_text(LINES[1]["text"], encoding="utf-8")
    (place / "rows.csv").write_text(f'other,text\n1,"{LINES[1]["text"]}"\n', encoding="utf-8")
    options = ("--candidate", IDS["lora"], "--json")
    expected = [
        json.loads(line) for line in cli("predict", "out", lines.name, *options).out.splitlines()
    ]
    assert [(row["source"], row["row"]) for row in expected] == [("in.jsonl", i) for i in (1, 2, 3)]
    found = cli("predict", "out", "one.txt", "rows.csv", *options).out.splitlines()
    assert [json.loads(line)["summary"] for line in found] == [expected[1]["summary"]] * 2
    typed(monkeypatch, LINES[1]["text"].encode())
    assert json.loads(cli("predict", "out", *options).out) | {"source": "one.txt"} == json.loads(
        found[0]
    )
    typed(monkeypatch, lines.read_bytes())
    outcome = cli("predict", "out", "-", "--format", "jsonl", *options)
    assert [json.loads(line) | {"source": "in.jsonl"} for line in outcome.out.splitlines()] == (
        expected
    )


def test_without_a_name_the_recommended_methods_run_nearest_the_mean_writes(
    run: Path, cli: Run, lines: Path
) -> None:
    file = run / "results.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    results["recommendation"] |= {"method": "dora", "why": "", "verdict": "best"}
    file.write_text(json.dumps(results), encoding="utf-8")
    row = json.loads(cli("predict", "out", lines.name, "--json").out.splitlines()[0])
    assert row["candidate"] == IDS["dora"]
    results["recommendation"] |= {"method": None, "why": "too close", "verdict": "none"}
    file.write_text(json.dumps(results), encoding="utf-8")
    outcome = cli("predict", "out", lines.name)
    assert outcome.code == 2
    assert "recommends no method (its answer is none; `bakeoff report` says why)" in outcome.err
    assert "name a candidate with --candidate" in outcome.err


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", ("--candidate", IDS["lora"]), "-: the document (column 'text') is empty"),
        (b"\xff\xfe", (), "- is not UTF-8 at byte 0"),
        (b'{"txt": "a"}\n', ("--format", "jsonl"), "task.document is 'text', but - has no such"),
        (b'{"text": "a"}\n{', ("--format", "jsonl"), "-, row 2: it is not JSON"),
        (b"a", ("--format", "jsn"), "'jsn' is unknown; did you mean 'json'?"),
        (b"a", ("nowhere.txt",), "nowhere.txt cannot be read: No such file"),
        (b"a", ("--candidate", "x"), "'x' is not a candidate of out"),
    ],
)
def test_bad_input_is_told(
    run: Path,
    cli: Run,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    typed(monkeypatch, content)
    outcome = cli("predict", "out", *arguments)
    assert outcome.code == 2
    assert words in outcome.err


def test_a_folder_that_is_no_run_and_a_base_that_changed_are_refused(
    run: Path, cli: Run, place: Path, lines: Path
) -> None:
    outcome = cli("predict", "rows", lines.name)
    assert outcome.code == 2 and "rows: holds no study.yaml" in outcome.err
    inputs = json.loads((run / "inputs.json").read_text())
    (run / "inputs.json").write_text(json.dumps(inputs | {"base": "other"}))
    outcome = cli("predict", "out", lines.name, "--candidate", IDS["lora"])
    assert outcome.code == 2
    assert "the base scratch:tiny-gpt-neo has changed since this run began" in outcome.err


def test_rows_that_are_divided_otherwise_now_are_not_measured_on(
    run: Path, cli: Run, place: Path
) -> None:
    """Some of them may be rows that it was trained on."""
    other = place / "other"
    shutil.copytree(run, other)
    inputs = json.loads((other / "inputs.json").read_text(encoding="utf-8"))
    (other / "inputs.json").write_text(json.dumps({**inputs, "data": "0"}), encoding="utf-8")
    outcome = cli("export", other, "--candidate", IDS["lora"], "--to", "lora", "--out", "o")
    assert outcome.code == 0, outcome.err
    assert "the study's rows are not those that it was trained on" in outcome.out + outcome.err
    text = (place / "o" / "bakeoff_conversion.json").read_text(encoding="utf-8")
    assert json.loads(text).get("validation_rows") in (None, 0)
