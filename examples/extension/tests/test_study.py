"""A study with the method, the task and the metric, from beginning to end."""

from __future__ import annotations

from pathlib import Path

import pytest

import bakeoff


def rows(start: int, count: int) -> list[dict[str, str]]:
    return [
        {"wrong": f"Teh bus numbr {n} is late.", "right": f"The bus number {n} is late."}
        for n in range(start, start + count)
    ]


def test_a_study_is_run_read_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    study = bakeoff.Study(
        name="corrections",
        base="scratch:tiny-gpt-neo",
        task={
            "kind": "correct",
            "source": {"train": rows(0, 16), "validation": rows(20, 4), "test": rows(30, 4)},
            "max_length": 96,
            "max_target_tokens": 32,
        },
        protocol={"epochs": 1, "micro_batch_size": 4, "seeds": [0, 1]},
        methods={"ln_tuning": {}, "lora": {"rank": 2}},
        generation={"max_new_tokens": 8},
        precision="float32",
    )
    results = bakeoff.run(study, out="run", progress=False)
    assert results.status == "complete"
    # One short epoch leaves every method improving, and few rows say little; nothing else is noted.
    expected = ("still improving", "fewer than 300", "fewer parameters than", "falls to zero")
    assert all(any(words in n for words in expected) for n in results.record.notes)
    table = results.table(baselines=True).set_index("method")
    assert list(table.index) == ["ln_tuning", "lora", "copy", "zero_shot"]
    assert 0 < table.loc["copy", "test_cer"] < 0.2
    assert table.loc["ln_tuning", "trainable_parameters"] == 5 * 2 * 64
    # Costs come from a process of their own, which finds the package too.
    assert table.loc[["ln_tuning", "lora"], "peak_memory_bytes"].notna().all()
    answers = bakeoff.predict(results, ["Teh bus is late."], "ln_tuning-lr0.001-s0")
    assert len(answers) == 1
