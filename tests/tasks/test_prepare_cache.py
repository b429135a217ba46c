from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import version
from bakeoff.data import cache
from bakeoff.data.encode import TextEncoder
from bakeoff.data.taskdata import TaskData, to_cache
from bakeoff.tasks.contract import Task
from tests.tasks.preparing import Write, prepared, task_of

TASK = task_of(source="data")
ROWS = [{"document": f"The storm {i} hit.", "summary": f"storm 🌧 {i}"} for i in range(4)]


@pytest.fixture
def num_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts, in its only entry, how often texts were tokenised."""
    calls = [0]
    original = TextEncoder._call

    def counted(self: TextEncoder, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(TextEncoder, "_call", counted)
    return calls


@pytest.fixture
def root(tmp_path: Path, write: Write) -> Path:
    """A folder with a task's data in it."""
    for name in ("train", "validation", "test"):
        write(f"data/{name}.jsonl", ROWS)
    return tmp_path


def run(task: Task, tokenizer: Any, root: Path, **options: Any) -> TaskData:
    return prepared(task, tokenizer, root, **{"cache_dir": root / "cache", **options})


def assert_same(first: TaskData, second: TaskData) -> None:
    ours, our_meta = to_cache(first)
    theirs, their_meta = to_cache(second)
    assert our_meta == their_meta
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])


def kept(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "cache").iterdir())


def test_a_second_call_does_not_tokenise(root: Path, tokenizer: Any, num_calls: list[int]) -> None:
    first = run(TASK, tokenizer, root)
    assert num_calls[0] > 0
    num_calls[0] = 0
    second = run(TASK, tokenizer, root)
    assert num_calls[0] == 0
    assert_same(first, second)
    assert second.overlap == first.overlap
    assert second.overlap.train_test == 4
    assert list(second.splits["test"].targets) == [f" storm 🌧 {i}" for i in range(4)]
    assert second.splits["test"].references == [[f"storm 🌧 {i}"] for i in range(4)]


def test_state_that_calls_leave_in_the_tokenizer_does_not_matter(
    root: Path, tokenizer: Any, num_calls: list[int]
) -> None:
    run(TASK, tokenizer, root)
    tokenizer(["a", "b c"], truncation=True, max_length=5)
    num_calls[0] = 0
    run(TASK, tokenizer, root)
    assert num_calls[0] == 0


def test_groups_labels_and_choices_are_kept(
    root: Path, tokenizer: Any, num_calls: list[int]
) -> None:
    examples = {"train": 30, "validation": 5, "test": 4}
    task = task_of(
        kind="classify",
        source="wire",
        examples=examples,
        text="highlights",
        label="desk",
        group="article",
        max_length=640,
        max_target_tokens=99,
    )
    first = run(task, tokenizer, root)
    num_calls[0] = 0
    second = run(task, tokenizer, root)
    assert_same(first, second)
    assert num_calls[0] == 0
    assert second.found == first.found and len(first.found["labels"]) > 1
    ours, theirs = first.splits["test"], second.splits["test"]
    assert [(list(e.references), list(e.choices), e.gold) for e in ours.expected] == [
        (list(e.references), list(e.choices), e.gold) for e in theirs.expected
    ]
    assert theirs.groups == ours.groups
    [kept_set], [made_set] = theirs.choice_sets, ours.choice_sets
    for kept_ids, made_ids in zip(kept_set.tokens, made_set.tokens, strict=True):
        assert kept_ids.dtype == made_ids.dtype
        assert kept_ids.tolist() == made_ids.tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"max_length": 128},
        {"max_target_tokens": 32},
        {"cleaning": ("lowercase",)},
        {"template": "{document}\nSummary: {summary}"},
        {"examples": {"test": 2}},
        {"on_bad_row": "skip"},
        {"group": "summary"},
        {"kind": "classify", "text": "document", "label": "summary"},
    ],
)
def test_other_options_are_prepared_again(
    root: Path, tokenizer: Any, num_calls: list[int], changes: dict[str, Any]
) -> None:
    run(TASK, tokenizer, root)
    num_calls[0] = 0
    other = task_of(**{"source": "data", **changes})
    changed = run(other, tokenizer, root)
    assert num_calls[0] > 0
    assert_same(changed, run(other, tokenizer, root, cache_dir=None))


def test_changed_files_are_prepared_again(
    root: Path, write: Write, tokenizer: Any, num_calls: list[int]
) -> None:
    run(TASK, tokenizer, root)
    write("data/test.jsonl", [{"document": "another storm", "summary": "new"}])
    num_calls[0] = 0
    assert run(TASK, tokenizer, root).splits["test"].shown[0] == "another storm"
    assert num_calls[0] > 0


def test_another_tokenizer_of_the_same_name_is_another_key(
    root: Path,
    tokenizer: Any,
    spaced_tokenizer: Any,
    num_calls: list[int],
) -> None:
    run(TASK, tokenizer, root)
    num_calls[0] = 0
    run(TASK, spaced_tokenizer, root)
    assert num_calls[0] > 0


def test_another_version_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.cache_key(["a", "b"])
    assert cache.cache_key(["a", "b"]) == before
    assert cache.cache_key(["ab"]) != before
    monkeypatch.setattr(version, "__version__", "999")
    assert cache.cache_key(["a", "b"]) != before


def tear_array(folder: Path) -> None:
    path = folder / "train.prompts.values.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_array(folder: Path) -> None:
    path = folder / "train.prompts.values.npy"
    path.write_bytes(path.read_bytes()[:-4])


def remove_array(folder: Path) -> None:
    (folder / "test.rows.npy").unlink()


def tear_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-10])


def change_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('tokens_raw\\": ', 'tokens_raw\\": 1'))


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    "harm",
    [
        tear_array,
        cut_array,
        remove_array,
        tear_manifest,
        change_manifest,
        empty_manifest,
        remove_manifest,
    ],
)
def test_a_torn_cache_is_rebuilt(
    root: Path,
    tokenizer: Any,
    num_calls: list[int],
    harm: Callable[[Path], None],
) -> None:
    first = run(TASK, tokenizer, root)
    (name,) = kept(root)
    before = (root / "cache" / name / "manifest.json").read_text()
    harm(root / "cache" / name)
    num_calls[0] = 0
    assert_same(first, run(TASK, tokenizer, root))
    assert num_calls[0] > 0
    assert kept(root) == [name]
    assert (root / "cache" / name / "manifest.json").read_text() == before
    num_calls[0] = 0
    run(TASK, tokenizer, root)
    assert num_calls[0] == 0


def test_a_failed_write_leaves_nothing_and_is_a_warning(
    root: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        data = run(TASK, tokenizer, root)
    assert len(data.splits["train"]) == 4
    assert any("No space left on device" in warning for warning in data.warnings)
    assert kept(root) == []
    assert not any("could not be kept" in text for text in run(TASK, tokenizer, root).warnings)


def test_whoever_is_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "task"
    arrays = {"a": np.arange(3)}
    original = np.save

    def overtaken(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        monkeypatch.setattr(np, "save", original)
        cache.store(folder, arrays, {"by": "other"})

    monkeypatch.setattr(np, "save", overtaken)
    cache.store(folder, arrays, {"by": "us"})
    found = cache.load(folder)
    assert found is not None
    assert found[1] == {"by": "other"}
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


def test_arrays_of_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        cache.store(tmp_path / "a", {"x": np.array([{}], dtype=object)}, {})
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_plain_json(root: Path, tokenizer: Any) -> None:
    run(TASK, tokenizer, root)
    (name,) = kept(root)
    manifest = json.loads((root / "cache" / name / "manifest.json").read_text())
    body = json.loads(manifest["body"])
    assert sorted(body) == ["arrays", "meta"]
    files = {path.name for path in (root / "cache" / name).iterdir()}
    assert files == {"manifest.json", *(f"{array}.npy" for array in body["arrays"])}
