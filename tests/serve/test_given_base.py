"""Which base ``--base`` means beside runs: a folder by where it is, whatever its spelling."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from bakeoff.base.weights.sources import load_source
from bakeoff.serve.catalogue import open_catalogue
from bakeoff.serve.options import ServeOptions
from tests.serve.conftest import ran
from tests.studies import small_study, write_rows

LORA = {"lora": {"rank": 2, "learning_rate": 1e-2}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models and a run over the first."""
    folder = tmp_path_factory.mktemp("root")
    plain = load_source("scratch:tiny-llama", root=folder, cache_dir=folder)
    for scale, name in enumerate(("m", "other"), start=1):
        model = copy.deepcopy(plain.model)
        with torch.no_grad():
            model.get_input_embeddings().get_parameter("weight").mul_(scale)
        model.save_pretrained(folder / "models" / name)
        plain.tokenizer.save_pretrained(folder / "models" / name)
    write_rows(folder / "rows")
    ran(folder, small_study(base="models/m", methods=LORA))
    return folder


@pytest.mark.parametrize("spelling", ["models/m", "./models/other/../m", "{root}/models/m"])
def test_the_runs_base_is_not_loaded_once_more_for_another_spelling(
    root: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(root)
    [adapter] = root.glob("out/candidates/lora-*/adapter")
    options = ServeOptions(
        runs=(root / "out",),
        base=spelling.format(root=root),
        adapters={"mine": adapter},
        device="cpu",
    )
    catalogue = open_catalogue(options)
    assert len(catalogue.bases) == 1
    # Over the study's base an adapter is asked as the study asks.
    mine, lora = catalogue.models["mine"], catalogue.models["lora"]
    assert (mine.lane, mine.study, mine.asking) == (lora.lane, lora.study, lora.asking)


def test_another_folder_is_a_base_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    [adapter] = root.glob("out/candidates/lora-*/adapter")
    options = ServeOptions(
        runs=(root / "out",), base="models/other", adapters={"mine": adapter}, device="cpu"
    )
    catalogue = open_catalogue(options)
    mine = catalogue.models["mine"]
    assert len(catalogue.bases) == 2 and not mine.study
    assert mine.lane != catalogue.models["lora"].lane
