"""From files in three formats to runs, and what is said of files that are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.audits.reading import read_published
from bakeoff.audits.shares import rows_of_shares
from bakeoff.errors import ConfigError, DataError
from tests.audits.published_files import (
    DATE,
    csv_file,
    lm_eval_content,
    lm_eval_folder,
    peft_content,
    peft_folder,
    write_json,
)


class TestShares:
    def test_rows_follow_from_figures_that_were_written_in_full(self) -> None:
        assert rows_of_shares([702 / 1319, 0.0, 1 / 1319]) == 1319
        assert rows_of_shares([1 / 3, 1 / 7]) == 21

    @pytest.mark.parametrize(
        "values", [[0.532, 0.481], [0.0], [0.5, 0.25], [0.1234567], [3**-0.5], []]
    )
    def test_figures_that_do_not_say(self, values: list[float]) -> None:
        assert rows_of_shares(values) is None


class TestPeft:
    def test_a_run(self, tmp_path: Path) -> None:
        file = write_json(tmp_path / "2026-01" / "a.json", peft_content(hits=100))
        (run,) = read_published([file]).runs
        assert (run.group, run.method, run.seed) == ("2026-01", "lora/rank32", "0")
        assert (run.metric, run.value, run.num_rows) == ("test accuracy", 100 / 211, 211)
        assert run.is_share and run.scores is None and run.training_loss == 0.6
        assert run.circumstances == {
            "revision of model": "13afe512",
            "revision of gsm8k": "cc7b047b",
            "torch": "2.9.0",
            "accelerator": "NVIDIA L40S",
        }
        assert run.settings["max_steps"] == "5000" and "seed" not in run.settings

    def test_a_run_that_was_cancelled_is_left_out_with_its_reason(self, tmp_path: Path) -> None:
        peft_folder(tmp_path, {"lora": 100})
        content = peft_content("boft/llama-3.2-3B-default")
        content["train_info"] |= {"status": "canceled", "metrics": []}
        content["run_info"]["error_msg"] = "out of memory"
        write_json(tmp_path / "boft.json", content)
        found = read_published([tmp_path])
        assert [run.method for run in found.runs] == ["lora/default"]
        (out,) = found.left_out
        assert out.place.endswith("boft.json")
        assert out.reason == "ended as canceled (out of memory)"

    def test_a_folder_is_read_whole_and_other_files_are_named(self, tmp_path: Path) -> None:
        peft_folder(tmp_path / "a" / "results", {"lora": 100})
        peft_folder(tmp_path / "b" / "results", {"lora": 90})
        write_json(tmp_path / "other.json", {"x": 1})
        (tmp_path / "README.md").write_text("not looked at")
        found = read_published([tmp_path])
        assert {run.group for run in found.runs} == {"a/results", "b/results"}
        assert [out.place for out in found.left_out] == [str(tmp_path / "other.json")]
        assert found.files == 2

    def test_a_file_that_is_named_twice_is_read_once(self, tmp_path: Path) -> None:
        file = write_json(tmp_path / "a.json", peft_content())
        assert len(read_published([file, tmp_path, file]).runs) == 1

    def test_rows_that_are_given(self, tmp_path: Path) -> None:
        content = peft_content()
        content["train_info"]["metrics"][-1]["test accuracy"] = 0.5
        file = write_json(tmp_path / "a.json", content)
        found = read_published([file])
        assert found.runs[0].num_rows is None and "--rows" in found.notes[0]
        assert read_published([file], 400).runs[0].num_rows == 400

    def test_rows_that_do_not_fit(self, tmp_path: Path) -> None:
        file = write_json(tmp_path / "a.json", peft_content(hits=100))
        with pytest.raises(ConfigError, match=r"rows is 1000, of which 0\.47.*no whole number"):
            read_published([file], 1000)
        with pytest.raises(ConfigError, match="rows is 1;"):
            read_published([file], 1)


def damaged(*path: str, value: Any = None) -> Callable[[dict[str, Any]], None]:
    def damage(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        if value is None:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged("train_info", "status"), "train_info.status is missing; get the file again"),
        (damaged("run_info", "experiment_name", value=3), "experiment_name is 3, expected a text"),
        (damaged("run_info", "train_config", value=[1]), "train_config is [1], expected a mapping"),
        (damaged("run_info", "train_config", "seed", value="0"), 'seed is "0", expected a whole'),
        (damaged("run_info", "train_config", "seed", value=True), "seed is true, expected a whole"),
        (damaged("train_info", "metrics", value={"a": 1}), 'metrics is {"a": 1}, expected a list'),
        (damaged("train_info", "metrics", value=[{"step": 1}]), "a key that begins with 'test '"),
        (
            damaged("train_info", "metrics", value=[{"test accuracy": "0.5"}]),
            'train_info.metrics[0].test accuracy is "0.5", expected a number',
        ),
        (
            damaged("train_info", "metrics", value=[{"test accuracy": 53.2}]),
            "test accuracy is 53.2, expected a share from 0 to 1",
        ),
        (
            damaged("train_info", "metrics", value=[{"test accuracy": float("nan")}]),
            "test accuracy is NaN, expected a finite number",
        ),
    ],
)
def test_a_damaged_result_is_one_clear_error(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = peft_content()
    damage(content)
    file = write_json(tmp_path / "a.json", content)
    with pytest.raises(DataError) as caught:
        read_published([file])
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and message in text and "; " in text


class TestFiles:
    def test_torn_json_names_line_and_column(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps(peft_content(), indent=1)[:200])
        with pytest.raises(DataError, match=r"a\.json: line \d+, column \d+: is not JSON"):
            read_published([tmp_path])

    def test_json_that_is_nested_without_end(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text("[" * 100_000)
        with pytest.raises(DataError, match=r"nested too deeply|is not JSON"):
            read_published([file])

    def test_a_file_in_no_known_format(self, tmp_path: Path) -> None:
        file = write_json(tmp_path / "a.json", {"x": 1})
        with pytest.raises(DataError, match="is in no format that is read; give PEFT's"):
            read_published([file])

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="not found; give a file or a folder"):
            read_published([tmp_path / "a.json"])

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"method,seed,row,acc\nl\xff,0,0,1\n")
        with pytest.raises(DataError, match="byte 21 is not UTF-8"):
            read_published([tmp_path])

    def test_a_folder_without_results(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no results; give PEFT's"):
            read_published([tmp_path])

    def test_no_file(self) -> None:
        with pytest.raises(ConfigError, match="no file is named"):
            read_published([])

    def test_the_same_run_twice(self, tmp_path: Path) -> None:
        first = write_json(tmp_path / "a.json", peft_content())
        second = write_json(tmp_path / "b.json", peft_content())
        with pytest.raises(DataError) as caught:
            read_published([tmp_path])
        assert str(first) in str(caught.value) and str(second) in str(caught.value)
        write_json(tmp_path / "b.json", peft_content(seed=1))
        assert len(read_published([tmp_path]).runs) == 2


class TestHarness:
    def test_results_without_samples(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "org/lora-seed3", [1.0] * 30 + [0.0] * 20, samples=False)
        (run,) = read_published([tmp_path]).runs
        assert (run.method, run.seed, run.metric) == ("org/lora", "3", "trivia acc")
        assert (run.value, run.num_rows, run.scores) == (0.6, 50, None)
        assert run.higher_is_better is True and run.error == pytest.approx(0.0699854)

    def test_results_with_samples(self, tmp_path: Path) -> None:
        values = [1.0] * 30 + [0.0] * 20
        lm_eval_folder(tmp_path, "org/lora", values)
        (run,) = read_published([tmp_path]).runs
        assert run.scores is not None and run.scores.labels[1] == "1 d1"
        assert run.scores.values.tolist() == values

    def test_a_group_stands_for_its_tasks(self, tmp_path: Path) -> None:
        content = lm_eval_content("lora", [1.0, 0.0])
        content["results"] |= {"quiz": {"alias": "quiz", "acc,none": 0.5, "acc_stderr,none": "N/A"}}
        content["group_subtasks"] = {"quiz": ["trivia"]}
        write_json(tmp_path / f"results_{DATE}.json", content)
        (run,) = read_published([tmp_path]).runs
        assert (run.metric, run.error, run.num_rows) == ("quiz acc", None, None)

    def test_of_two_evaluations_the_last_is_taken(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "lora", [1.0, 0.0, 0.0])
        lm_eval_folder(tmp_path, "lora", [1.0, 1.0, 0.0], date=DATE.replace("2026-01", "2026-02"))
        found = read_published([tmp_path])
        assert [run.value for run in found.runs] == [2 / 3]
        assert "an older result of trivia acc of lora" in found.left_out[0].reason

    def test_samples_that_are_cut_short(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "lora", [1.0, 0.0, 0.0])
        file = tmp_path / "lora" / f"samples_trivia_{DATE}.jsonl"
        file.write_text("\n".join(file.read_text().splitlines()[:2]))
        with pytest.raises(DataError, match=r"holds 2 rows for the filter 'none'.* counts 3"):
            read_published([tmp_path])

    def test_samples_whose_mean_is_another(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "lora", [1.0, 0.0, 0.0])
        file = tmp_path / "lora" / f"samples_trivia_{DATE}.jsonl"
        file.write_text(file.read_text().replace('"acc": 1.0', '"acc": 0.5'))
        found = read_published([tmp_path])
        assert found.runs[0].scores is None
        assert "has the mean 0.166667 over rows where 0.333333 is published" in found.notes[0]

    def test_samples_without_a_number_for_every_row(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "lora", [1.0, 0.0])
        file = tmp_path / "lora" / f"samples_trivia_{DATE}.jsonl"
        file.write_text(file.read_text().replace('"acc": 1.0', '"acc": [1, 2]'))
        found = read_published([tmp_path])
        assert found.runs[0].scores is None and "not a number for every row" in found.notes[0]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('"doc_id": 1', '"doc_id": 0', "line 2: doc_id 0 is there twice"),
            ('"doc_id": 1', '"id": 1', "line 2.doc_id is missing"),
            ('{"doc_id": 1', '{"doc_id" 1', "line 2, column 11: is not JSON"),
            ('"doc_hash": "d1"', '"doc_hash": 7', "line 2.doc_hash is 7, expected a text"),
        ],
    )
    def test_a_damaged_line_of_samples(
        self, tmp_path: Path, old: str, new: str, message: str
    ) -> None:
        lm_eval_folder(tmp_path, "lora", [1.0, 0.0])
        file = tmp_path / "lora" / f"samples_trivia_{DATE}.jsonl"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new).replace("d1", "d0" if "twice" in message else "d1"))
        with pytest.raises(DataError) as caught:
            read_published([tmp_path])
        assert f"{file}: {message}" in str(caught.value)

    def test_samples_without_results(self, tmp_path: Path) -> None:
        results = lm_eval_folder(tmp_path, "lora", [1.0, 0.0])
        results.unlink()
        with pytest.raises(DataError, match=rf"there is no results_{DATE}\.json in its folder"):
            read_published([tmp_path])

    def test_a_results_file_without_its_results(self, tmp_path: Path) -> None:
        file = write_json(tmp_path / "results_x.json", {"results": [1], "configs": {}})
        with pytest.raises(DataError, match="config is missing"):
            read_published([file])


class TestCsv:
    def test_scores(self, tmp_path: Path) -> None:
        file = csv_file(tmp_path / "mine.csv", {"lora": [[1.0, 2.0]], "full": [[3.0, 4.0]]})
        runs = read_published([file]).runs
        assert [(r.group, r.method, r.seed, r.metric, r.value) for r in runs] == [
            ("mine", "lora", "0", "nll", 1.5),
            ("mine", "full", "0", "nll", 3.5),
        ]

    def test_rows_are_found_by_their_label_in_any_order(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text(
            'acc,row,seed,method\n0,"a, b",0,x\n1,c,0,x\n\n1,c,0,"y, z"\n0.5,"a, b",0,"y, z"\n'
        )
        first, second = read_published([file]).runs
        assert second.method == "y, z" and first.scores is not None and second.scores is not None
        assert first.scores.labels == second.scores.labels == ("a, b", "c")
        assert np.array_equal(second.scores.values, [0.5, 1.0])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "method,seed,row\nx,0,0\n",
                "line 1: the columns are 'method', 'seed', 'row', with no",
            ),
            ("method,seed,row,acc,acc\n", "line 1: the column 'acc' is there twice"),
            ("method,seed,row,acc,\nx,0,0,1,\n", "line 1: a column has no name"),
            ("method,seed,row,acc\n", "line 1: there are no scores below the head"),
            ("method,seed,row,acc\nx,0,0\n", "line 2: has 3 cells where the head has 4"),
            ("method,seed,row,acc\nx,0,0,good\n", "line 2: acc is 'good', expected a finite"),
            ("method,seed,row,acc\nx,0,0,nan\n", "line 2: acc is 'nan', expected a finite"),
            ("method,seed,row,acc\nx,0,,1\n", "line 2: row is empty"),
            (
                "method,seed,row,acc\nx,0,0,1\nx,0,0,1\n",
                "line 3: method 'x', seed '0', row '0' is on line 2 already",
            ),
            (
                "method,seed,row,acc\nx,0,0,1\nx,0,1,1\ny,0,0,1\n",
                "line 3: row '1' of method 'x', seed '0' is missing for method 'y', seed '0'",
            ),
            (
                "method,seed,row,acc\nx,0,0,1\ny,0,0,1\ny,0,1,1\n",
                "line 4: row '1' of method 'y', seed '0' is missing for method 'x', seed '0'",
            ),
            ('method,seed,row,acc\nx,0,"0"1,1\n', "line 2: is not CSV"),
        ],
    )
    def test_a_table_that_breaks_a_rule(self, tmp_path: Path, text: str, message: str) -> None:
        file = tmp_path / "a.csv"
        file.write_text(text)
        with pytest.raises(DataError) as caught:
            read_published([file])
        assert f"{file}: {message}" in str(caught.value)
