"""What a folder of claims holds to: one design, one set of weights and of rows, and its claims."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bakeoff.api.claims import run_claims
from bakeoff.base.wire_bases.shapes import member_folder
from bakeoff.claims import registry
from bakeoff.claims.contract import Noise, Part, Planted
from bakeoff.claims.entrants import full
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.page import build_page
from bakeoff.claims.running import run_suite
from bakeoff.claims.suite import NOT_INSTALLED, Suite, carried_claims
from bakeoff.claims.writing import as_mapping
from bakeoff.errors import ConfigError
from tests.claims.planted import Study, suite_of
from tests.claims.test_rules import made

FEW, FULL_RANK = "few_tokens_suffice", "full_rank_lora_is_full"
WEIGHTS, SCALE = "weights_are_low_rank", "scale_closes_gap"
Cli = Callable[..., Any]


def test_folders_of_the_version_before_are_taken_up(
    data: Any, tmp_path: Path, planted: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = {"weight_rank": np.linspace(0.4, 0.5, 16)}
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", lambda context: ranks)
    out = tmp_path / "out"
    run_claims([WEIGHTS, FULL_RANK], quick=True, out=out)
    design = json.loads((out / "design.json").read_text())
    del design["fingerprints"]
    (out / "design.json").write_text(json.dumps(design))
    measured = json.loads((out / "measured" / f"{WEIGHTS}.json").read_text())
    measured["key"] = {**measured["key"], "base": "tiny", "device": "auto"}
    del measured["on"]
    (out / "measured" / f"{WEIGHTS}.json").write_text(json.dumps(measured))
    never = lambda context: pytest.fail("nothing of what was not named is measured")  # noqa: E731
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", never)
    found = run_claims([FEW], quick=True, out=out)
    assert found.claims[WEIGHTS]["verdict"] == "contradicted" and not found.failed
    assert found.claims[WEIGHTS]["measured_on"] == ""
    # What an earlier version measured in another way waits for its name, and is no fault.
    measured["values"] = {"another": [1.0] * 16}
    (out / "evidence" / f"{WEIGHTS}.json").unlink()  # which that version did not keep
    (out / "measured" / f"{WEIGHTS}.json").write_text(json.dumps(measured))
    found = run_claims([FEW], quick=True, out=out)
    assert "measures it again" in found.claims[WEIGHTS]["why"] and not found.failed
    # Its own data were divided otherwise then.
    (out / "design.json").write_text(json.dumps({**design, "data": "rows.jsonl"}))
    with pytest.raises(ConfigError, match="older version on data of your own"):
        run_claims([FEW], quick=True, data="rows.jsonl", out=out)


def test_a_claim_that_is_not_installed_now_stays_as_an_earlier_call_found_it(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a script registered, which the command does not know."""
    monkeypatch.setattr(registry, "_registered", {})
    mine = made(
        design=lambda facts, size: (Part(entrants={"full": full(facts)}),),
        statistic=lambda values: {"x": values["full"]},
        planted=Planted(
            supported={"full": 0.2}, contradicted={"full": 0.0}, noise=Noise(seed=0.02)
        ),
    )
    registry.register_claim(mine)
    run_claims(["made", FULL_RANK], quick=True, out=place / "out")
    file, note = place / "out/claims.json", place / "out/studies/CLAIMS.md"
    first = json.loads(file.read_text())["claims"]
    monkeypatch.setattr(registry, "_registered", {})
    for _ in range(2):  # and the note does not come twice
        assert cli("claims", FEW, "--quick", "--out", "out").code == 0
        kept = json.loads(file.read_text())["claims"]
        assert set(kept) == {"made", FULL_RANK, FEW} and "- made\n" in note.read_text()
        notes = [*first["made"]["notes"], NOT_INSTALLED]
        assert kept["made"] == {**first["made"], "notes": notes}
        # All three are one family.
        page = (place / "out/claims.html").read_text()
        assert 'id="made"' in page and "is not installed now" in page and "Of 3 claims" in page
    registry.register_claim(mine)
    whole = run_claims([FEW], quick=True, out=place / "out").claims
    assert whole[FULL_RANK]["level"] == kept[FULL_RANK]["level"] > first[FULL_RANK]["level"]
    assert NOT_INSTALLED not in whole["made"]["notes"]


@pytest.mark.parametrize("entry", [{}, {"effect": "much", "notes": None, "low": 1}])
def test_an_entry_of_any_earlier_version_is_shown(
    entry: dict[str, Any], data: Any, tmp_path: Path
) -> None:
    carried = carried_claims({"claims": {"lost": entry}}, ["lost", "never written"])
    assert list(carried) == ["lost"] and not carried_claims([], ["lost"])
    suite = suite_of((FULL_RANK,), tmp_path, data, Study(), carried=carried)
    found = run_suite(suite)
    assert 'id="lost"' in build_page(suite, found) and "lost" in as_mapping(suite, found)["claims"]


def test_the_base_of_other_claims_is_none_of_the_family(planted: Study, place: Path) -> None:
    """Scale is over the bases that were named for it, whatever the folder's other claims have."""
    run_claims([FULL_RANK], quick=True, out=place / "out")
    family = ["wire-0.3m", "scratch:tiny-llama"]
    found = run_claims([SCALE], quick=True, bases=family, out=place / "out")
    assert found.claims[SCALE]["verdict"] == "untestable"
    assert "three sizes" in found.claims[SCALE]["why"]
    assert found.claims[FULL_RANK]["verdict"] == "supported"
    assert {name.split("-")[0] for name, _ in planted.ran} == {"tiny"}
    with pytest.raises(ConfigError, match="are the same weights"):
        run_claims([SCALE], quick=True, bases=["tiny", "wire-1.1m"], out=place / "other")


def test_a_family_and_a_base_beside_it_are_one_call(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same ones under other names, or in another order, are the same design."""
    real = api_facts()
    # Three sizes of one family, two of which have a second name.
    shapes = {"scratch:a": 1, "./b": 2, "c": 3, "/abs/b": 2, "./c": 3}

    def facts(name: str) -> Any:
        if name not in shapes:
            return real(name)
        size = shapes[name]
        found = replace(NOMINAL, reference=name, fingerprint=f"of {size}", parameters=10**size)
        return found

    monkeypatch.setattr("bakeoff.claims.bases.facts_of", facts)
    asked = ("claims", FULL_RANK, SCALE, "--quick", "--out", "out")
    done = cli(*asked, "--base", "wire-0.3m", "--bases", "scratch:a,./b,c")
    assert done.code == 0, done.err
    kept = json.loads((place / "out/design.json").read_text())
    assert kept["base"] == "wire-0.3m" and kept["bases"] == ["scratch:a", "./b", "c"]
    called = {name.split("-main-")[0] for name, _ in planted.ran}
    assert called == {"wire-0.3m", "scratch-a", "b", "c"}
    studies = sorted((place / "out/studies").iterdir())
    for base, bases in (("wire-0.3m", "c,scratch:a,./b"), (str(member()), "scratch:a,/abs/b,./c")):
        done = cli(*asked, "--base", base, "--bases", bases)
        assert done.code == 0, done.err
        assert sorted((place / "out/studies").iterdir()) == studies
        again = json.loads((place / "out/design.json").read_text())
        assert again == kept
    done = cli(*asked, "--base", "wire-0.3m", "--bases", "scratch:a,./b,tiny")
    assert done.code == 2 and "claims of another design" in done.message
    # A known name whose weights changed is no other name.
    shapes["./b"] = 4
    done = cli(*asked, "--base", "wire-0.3m", "--bases", "c,scratch:a,./b")
    assert done.code == 2 and "other weights of ./b, which changed" in done.message


def test_a_folder_of_a_base_is_found_from_elsewhere(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(member(), place / "my base")
    asked = ("claims", FULL_RANK, "--quick", "--out", str(place / "out"))
    done = cli(*asked, "--base", "my base")
    assert done.code == 0, done.err
    kept = json.loads((place / "out/design.json").read_text())
    assert kept["base"] == str(place / "my base")
    (place / "beside").mkdir()
    monkeypatch.chdir(place / "beside")
    done = cli(*asked)
    assert done.code == 0, done.err
    assert json.loads((place / "out/design.json").read_text()) == kept
    (place / "my base").rename(place / "moved")
    done = cli(*asked, "--base", str(place / "moved"))
    assert done.code == 2 and f"the base in {place / 'my base'}, which is not" in done.message


def member() -> Path:
    found = member_folder("wire-0.3m", Path.cwd())
    assert found is not None
    return found


def test_a_base_that_changed_is_refused_and_its_measurements_are_not_taken(
    data: Any, tmp_path: Path, planted: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def ranks(context: Any) -> dict[str, Any]:
        measured.append(context.facts.fingerprint)
        return {"weight_rank": np.linspace(0.4, 0.5, 16)}

    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", ranks)
    first: Suite = suite_of((WEIGHTS,), tmp_path / "a", data, planted)
    run_suite(first)
    assert run_suite(first).findings[WEIGHTS].effect is not None and len(measured) == 1
    other = replace(first, main=replace(NOMINAL, fingerprint="other"))
    run_suite(other)
    assert measured == ["", "other"]
    # Another version of bakeoff measures what a call names, and leaves the rest as it was.
    monkeypatch.setattr("bakeoff.claims.measured.__version__", "99.0")
    assert run_suite(replace(other, asked=[])).findings[WEIGHTS].effect is not None
    assert len(measured) == 2
    run_suite(other)
    assert len(measured) == 3

    run_claims([FULL_RANK], quick=True, out=tmp_path / "b")
    real = api_facts()
    monkeypatch.setattr(
        "bakeoff.claims.bases.facts_of", lambda name: replace(real(name), fingerprint="retrained")
    )
    with pytest.raises(ConfigError, match="other weights of tiny, which changed"):
        run_claims([FULL_RANK], quick=True, out=tmp_path / "b")


def test_rows_that_changed_are_refused(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one path, and on the standard input, which has one name for all rows."""

    def asked(data: str, word: str) -> Any:
        lines = [f"{word} {i} of a text,{('neg', 'pos')[i % 2]}\n" for i in range(200)]
        typed = ("text,label\n" + "".join(lines)).encode()
        (place / "mine.csv").write_bytes(typed)
        stream = SimpleNamespace(buffer=io.BytesIO(typed), isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stream)
        return cli("claims", FULL_RANK, "--quick", "--data", data, "--out", f"out{data}")

    for data in ("mine.csv", "-"):
        done = asked(data, "word")
        assert done.code == 0, done.err
        assert asked(data, "word").code == 0
        kept = sorted((place / f"out{data}").rglob("*"))
        planted.ran.clear()
        done = asked(data, "other")
        assert done.code == 2 and f"other rows of --data {data}, which changed" in done.message
        assert "restore them, or give another folder with --out" in done.message
        assert not planted.ran and sorted((place / f"out{data}").rglob("*")) == kept
    # A folder of a version that kept no hash is taken up, with the rows that there are now.
    file = place / "outmine.csv/design.json"
    design = json.loads(file.read_text())
    assert design.pop("rows") == "drawn" and design.pop("data_sha256")
    file.write_text(json.dumps(design))
    assert asked("mine.csv", "other").code == 0
    taken = json.loads(file.read_text())
    assert taken["data_sha256"] and "rows" not in taken
    assert asked("mine.csv", "word").code == 2


def api_facts() -> Callable[[str], Any]:
    from bakeoff.claims.bases import facts_of

    return facts_of
