"""What `bakeoff export` writes is a folder that others can use: PEFT, Transformers, a reader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bakeoff.base.library_output import silence_libraries
from bakeoff.config import load_yaml
from bakeoff.errors import ConfigError
from bakeoff.inference import naming
from bakeoff.inference.finished import FinishedRun
from bakeoff.inference.licenses import license_lines
from bakeoff.inference.naming import SMOLLM2_HUB, base_license, for_others, named_base
from bakeoff.runs.reading import read_results

Run = Callable[..., Any]
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 10, "learning_rate": 1e-2},
    "soft_prompt": {"prompt_length": 3, "learning_rate": 1e-2},
}
IDS = {"lora": "lora-lr0.01-s0", "soft_prompt": "soft_prompt-lr0.01-s0"}
pytestmark = pytest.mark.usefixtures("quick")
Auto: Any = AutoModelForCausalLM


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run's folder, made by the first test that needs it."""
    return {"root": tmp_path_factory.mktemp("kept")}


@pytest.fixture
def run(kept: dict[str, Path], place: Path, run_small: Run) -> Path:
    """``out``, a complete run over the base that is shipped."""
    if "run" not in kept:
        outcome = run_small(base="tiny", methods=METHODS)
        assert outcome.code == 0, outcome.err
        kept["run"] = kept["root"] / "out"
        shutil.copytree(place / "out", kept["run"])
    shutil.copytree(kept["run"], place / "out", dirs_exist_ok=True)
    return place / "out"


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text("utf-8")
    assert text.startswith("---\n")
    found = load_yaml(text.split("---\n")[1], where="README.md")
    assert isinstance(found, dict)
    return found


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_peft_loads_the_folder_by_itself(run: Path, cli: Run, place: Path) -> None:
    from tests.inference.test_export_predict import candidate_logits

    for kind, candidate in IDS.items():
        out = place / kind
        outcome = cli("export", "out", "--candidate", candidate, "--to", "peft", "--out", kind)
        assert (outcome.code, outcome.err) == (0, "")
        config = json.loads((out / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(out / "base")
        ids, expected = candidate_logits(run, candidate)
        with silence_libraries(), torch.no_grad():
            base = Auto.from_pretrained(config["base_model_name_or_path"])
            tuned: Any = peft.PeftModel.from_pretrained(base, str(out)).eval()
            assert (tuned(input_ids=ids).logits - expected).abs().max() <= 1e-5
            tokenizer = AutoTokenizer.from_pretrained(str(out))
        assert (
            tokenizer("The fair")["input_ids"]
            == FinishedRun(run, "cpu").base.tokenizer("The fair")["input_ids"]
        )


def test_the_card_says_what_it_is_and_what_it_reached(run: Path, cli: Run, place: Path) -> None:
    assert cli("export", "out", "--candidate", IDS["lora"], "--to", "peft", "--out", "p").code == 0
    front = front_matter(place / "p")
    assert "base_model" not in front and front["library_name"] == "peft"
    assert front["license"] == "apache-2.0"  # of the shipped base's own card
    assert {"bakeoff", "lora", "summarize"} <= set(front["tags"])
    text = (place / "p/README.md").read_text("utf-8")
    results = read_results(run)
    nll = results.methods["lora"].test["nll"]
    assert nll.low is not None and nll.high is not None
    assert f"| {nll.mean:.3f} | {nll.low:.3f} to {nll.high:.3f} |" in text
    assert f"| {results.baselines['zero_shot'].test['nll'].mean:.3f} |" in text
    assert 'AutoModelForCausalLM.from_pretrained(f"{folder}/base")' in text
    assert "PeftModel.from_pretrained(base, folder)" in text
    assert "model.merge_and_unload()" in text
    # 16 is the least that vLLM takes for a rank of 10.
    assert "vllm serve p/base --enable-lora --max-lora-rank 16" in text
    assert "| learning rate | `1e-2` |" in text and "| seed | `0` |" in text


def test_the_card_of_a_conversion_says_what_it_costs(run: Path, cli: Run, place: Path) -> None:
    arguments = ("--candidate", IDS["lora"], "--to", "lora", "--rank", "1", "--out", "l")
    assert cli("export", "out", *arguments).code == 0
    text = (place / "l/README.md").read_text("utf-8")
    found = json.loads((place / "l/bakeoff_conversion.json").read_text())
    assert "LoRA of rank 1 that was made of the lora candidate" in text
    assert f"| before the conversion | {found['nll_before']:.4f} |" in text
    assert f"| this export | {found['nll_after']:.4f} |" in text
    assert "writes the same" not in text and "llama-server" not in text
    assert "before it was converted" in text


def test_the_card_of_a_gguf_lora_names_llama_cpp(run: Path) -> None:
    from bakeoff.inference.loading import how_to_load

    finished = FinishedRun(run, "cpu")
    kept = finished.candidate(IDS["lora"])
    base = named_base(finished, run / "x")
    found = {"to": "gguf-lora"}
    text = "\n".join(how_to_load("g", base, {}, is_merged=False, kept=kept, conversion=found))
    assert "llama-server --model BASE.gguf --lora g/adapter.gguf" in text


def test_a_soft_prompt_promises_no_merge_and_no_vllm(run: Path, cli: Run, place: Path) -> None:
    arguments = ("--candidate", IDS["soft_prompt"], "--to", "peft", "--out", "p")
    assert cli("export", "out", *arguments).code == 0
    text = (place / "p/README.md").read_text("utf-8")
    assert "vLLM serves adapters of plain LoRA only, which this is not." in text
    assert "merge_and_unload" not in text and "vllm serve" not in text


def test_the_task_comes_with_it_and_no_local_path(run: Path, cli: Run, place: Path) -> None:
    arguments = ("--candidate", IDS["lora"], "--to", "merged", "--out", "m")
    assert cli("export", "out", *arguments).code == 0
    content = json.loads((place / "m/bakeoff_task.json").read_text())
    task = FinishedRun(run, "cpu").task
    assert content["kind"] == "summarize"
    assert content["template"] == task.options.template
    assert list(content["input_columns"].values()) == ["text"]
    assert content["generation"]["max_new_tokens"] == 8
    assert "source" not in content["options"] and str(place) not in json.dumps(content)
    assert front_matter(place / "m")["library_name"] == "transformers"
    text = (place / "m/README.md").read_text("utf-8")
    assert "vllm serve m" in text and "PeftModel" not in text and str(place) not in text
    with silence_libraries():
        assert Auto.from_pretrained(str(place / "m")).config.model_type == "gpt_neo"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_what_is_pushed_over_a_base_of_ours_loads_from_the_repository_alone(
    run: Path, cli: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from tests.inference.test_export_predict import candidate_logits

    class Hub:
        """Keeps repositories below ``hub``, where they are found as relative folders."""

        def create_repo(self, repo: str, **options: Any) -> str:
            return f"https://huggingface.co/{repo}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, **options: Any) -> None:
            shutil.copytree(folder_path, place / "hub" / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    ids, expected = candidate_logits(run, IDS["lora"])
    exported = ("export", "out", "--candidate", IDS["lora"], "--to", "peft", "--out", "kept")
    assert cli(*exported).code == 0
    pushes = {"me/run": ("out", "--candidate", IDS["lora"]), "me/export": ("kept",)}
    for repo, arguments in pushes.items():
        done = cli("push", *arguments, "--repo", repo)
        assert (done.code, done.err) == (0, "")
        addresses = [f"https://huggingface.co/{one}" for one in (f"{repo}-base", repo)]
        assert done.out.split() == addresses
        uploaded = place / "hub" / repo
        with monkeypatch.context() as patch, silence_libraries(), torch.no_grad():
            patch.chdir(place / "hub")  # here a repository's id is a path
            tuned: Any = peft.AutoPeftModelForCausalLM.from_pretrained(repo)
            assert tuned.peft_config["default"].base_model_name_or_path == f"{repo}-base"
            assert (tuned.eval()(input_ids=ids).logits - expected).abs().max() <= 1e-5
            AutoTokenizer.from_pretrained(f"{repo}-base")
        files = [*uploaded.rglob("*"), *uploaded.with_name(f"{uploaded.name}-base").rglob("*")]
        text = "".join(p.read_text("utf-8") for p in files if p.suffix in (".json", ".md"))
        assert "bakeoff-push-" not in text and str(place) not in text
        assert f"`hf download {repo} --local-dir" in text and "/base" not in text
        assert f'AutoModelForCausalLM.from_pretrained("{repo}-base")' in text
        assert f"vllm serve {repo}-base --enable-lora" in text
        front = front_matter(uploaded)
        assert (front["base_model"], front["license"]) == (f"{repo}-base", "apache-2.0")
        assert front_matter(uploaded.with_name(f"{uploaded.name}-base"))["license"] == "apache-2.0"
        assert not (uploaded / "base").exists()


def test_a_run_over_a_folder_is_not_pushed_without_its_bases_id(run: Path, place: Path) -> None:
    finished = TestNames().of(run, "mine")
    (place / "mine").mkdir()
    base = named_base(finished, place / "x")
    with pytest.raises(ConfigError, match=r"on this machine alone.*--base OWNER/NAME"):
        for_others(base, None)
    found = for_others(base, "org/base")
    assert found.is_on_the_hub and found.path == "org/base" and not found.caution
    hub = named_base(TestNames().of(run, "smollm2-135m"), place / "x")
    assert for_others(hub, None) is hub


@pytest.mark.parametrize(
    ("stated", "lines"),
    [
        ("apache-2.0", ['license: "apache-2.0"']),
        ("MIT", ['license: "mit"']),
        ("Qwen Research", ['license: "other"', 'license_name: "qwen-research"']),
        ("other", ['license: "other"']),
        (None, []),
    ],
)
def test_a_licence_is_an_identifier_of_the_hubs(stated: str | None, lines: list[str]) -> None:
    assert license_lines(stated) == lines


class TestNames:
    """How the base is named, whatever it is."""

    def of(self, run: Path, base: str, **changes: Any) -> Any:
        finished = FinishedRun(run, "cpu")
        options = replace(finished.study.options, base=base, **changes)
        finished.study = replace(finished.study, options=options)
        return finished

    def test_a_hub_id_stays_with_its_revision(self, run: Path, place: Path) -> None:
        found = named_base(self.of(run, "org/model", revision="abc"), place / "x")
        assert (found.path, found.card, found.revision) == ("org/model", "org/model", "abc")
        assert found.is_on_the_hub and not found.caution and not found.beside

    def test_the_fetched_gguf_is_the_hubs_model_with_a_word_on_it(
        self, run: Path, place: Path
    ) -> None:
        found = named_base(self.of(run, "smollm2-135m"), place / "x")
        assert found.path == found.card == SMOLLM2_HUB == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert "Q4_1 GGUF" in found.caution and "differ slightly" in found.caution

    def test_a_folder_is_an_absolute_path_with_a_warning(self, run: Path, place: Path) -> None:
        (place / "mine").mkdir()
        card = "---\nlicense: mit\nbase_model: x\n---\n# Mine\n"
        (place / "mine/README.md").write_text(card, encoding="utf-8")
        finished = self.of(run, "mine")
        finished.base = FinishedRun(run, "cpu").base
        found = named_base(finished, place / "x")
        assert found.path == str((place / "mine").resolve()) and found.card == "mine"
        assert "of the machine that trained it" in found.caution
        assert base_license(finished) == "mit"

    def test_a_licence_that_no_one_states_is_not_made_up(
        self, run: Path, place: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(naming, "_of_card", lambda text: None)
        arguments = ("--candidate", IDS["lora"], "--to", "peft", "--out", "p")
        assert cli("export", "out", *arguments).code == 0
        assert "license" not in front_matter(place / "p")
        assert "licence is not known here" in (place / "p/README.md").read_text("utf-8")
