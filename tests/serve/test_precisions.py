"""A study that holds its base in 4 bits for some methods: each is served over its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from openai import OpenAI

from tests.serve.conftest import Serve, ran
from tests.studies import small_study, write_rows

if TYPE_CHECKING:
    from bakeoff.inference.finished import FinishedRun

pytest.importorskip("bitsandbytes", reason="needs the extra quantization")
pytestmark = pytest.mark.slow

_PISSA: dict[str, Any] = {"kind": "lora", "rank": 4, "init": "pissa", "learning_rate": 1e-2}
METHODS: dict[str, Any] = {
    "pissa": _PISSA,
    "pissa4": {**_PISSA, "quantization": "nf4"},
    "ia3": {"learning_rate": 1e-1},
    "ia34": {"kind": "ia3", "learning_rate": 1e-1, "quantization": "nf4"},
}
TEXTS = [f"The fair of {city} drew 140 people, the mayor said." for city in ("Arden", "Brill")]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("mixed")
    write_rows(folder / "rows")
    study = small_study(base="tiny", methods=METHODS, generation={"max_new_tokens": 24})
    return ran(folder, study)


def answered(run: FinishedRun, method: str) -> list[str]:
    """What ``predict`` says."""
    from bakeoff.data.inputs import Input
    from bakeoff.decide.representative import representative
    from bakeoff.inference.predict import predict

    chosen = representative(run.results, method, run.results.candidates)
    inputs = [Input("-", None, {"text": text}) for text in TEXTS]
    return [p.answer for p in predict(run, [run.candidate(chosen)], inputs)]


def test_each_method_answers_over_the_base_that_it_was_trained_on(
    mixed: Path, serve: Serve
) -> None:
    from bakeoff.inference.finished import FinishedRun

    run = FinishedRun(mixed, "cpu")
    client = OpenAI(base_url=f"{serve(mixed).address}/v1", api_key="none", max_retries=0)
    for _ in range(2):  # again, over what the first pass has left
        for method in METHODS:
            found = client.completions.create(model=method, prompt=TEXTS)
            assert [choice.text for choice in found.choices] == answered(run, method), method


def test_bases_and_adapters_count_what_they_hold(mixed: Path, serve: Serve) -> None:
    server = serve(mixed, adapters={"added": adapter_of(mixed)})
    catalogue = server.state.engine.catalogue
    models = catalogue.models
    whole, packed = (catalogue.bases[models[name].lane] for name in ("ia3", "ia34"))
    assert (whole.choice.quantization, packed.choice.quantization) == ("none", "nf4")
    assert len(catalogue.bases) == 2
    # Without --base an adapter is over the study's own base, however else that is held.
    assert models["added"].lane == models["ia3"].lane == models["pissa"].lane
    # The packed weights are no parameters.
    parameters = sum(p.nbytes for p in packed.model.parameters())
    assert parameters < packed.num_bytes < whole.num_bytes
    # What a method remembers of the base, as PiSSA's factors, goes with its adapter.
    assert models["pissa"].load()[0] is not models["pissa"].load()[0]


def adapter_of(run: Path) -> Path:
    [found] = run.glob("candidates/ia3-*/adapter")
    return found
