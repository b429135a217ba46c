"""Records of any content: each is read, or refused by the file's name; a changed one is noticed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.errors import StoreError
from bakeoff.runs.checksums import checked, with_checksum
from bakeoff.runs.events import EventLog
from bakeoff.runs.hashes import changed_file, hashes_content
from bakeoff.runs.reading import finite, read_json, read_results
from bakeoff.runs.records import Results

GOLDEN = Path(__file__).parents[1] / "golden/four/results.json"
WHOLE: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        TEXTS,
        st.sampled_from([10**40, 1e300, "nan", "COMPLETE", "../..", "a" * 400, {}, [], [[]]]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """The golden results with one to three values, keys or items that are others, gone or new."""
    content = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = content
        for _ in range(draw(st.integers(0, 6))):
            within = place.values() if isinstance(place, dict) else place
            inner = [value for value in within if isinstance(value, dict | list) and value]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        if not place:
            continue
        value = draw(VALUES)
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            place[key] = value
        elif draw(st.booleans()):
            del place[key]
        elif isinstance(place, dict):
            place[draw(TEXTS)] = value
    return content


@settings(max_examples=50, deadline=None, derandomize=True)
@given(content=st.one_of(changed(), VALUES))
def test_any_results_are_read_or_refused_by_name(folder: Path, content: Any) -> None:
    file = folder / "results.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        assert isinstance(read_results(folder), Results)
    except StoreError as error:
        assert str(file) in str(error)
        assert len(str(error)) < 4000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(lines=st.lists(st.one_of(OBJECTS, VALUES), min_size=1, max_size=3), kind=st.booleans())
def test_any_events_are_read_or_refused_by_their_line(
    folder: Path, lines: list[Any], kind: bool
) -> None:
    named = [{"event": "ended", **one} if kind and isinstance(one, dict) else one for one in lines]
    text = "".join(json.dumps(one) + "\n" for one in named)
    (folder / "events.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"events\.jsonl, line \d"):
        EventLog(folder)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(content=OBJECTS, at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_leaves_the_same_content_or_none(
    folder: Path, content: dict[str, Any], at: float, bit: int
) -> None:
    plain = finite(content)
    plain.pop("checksum", None)
    file = folder / "record.json"
    text = json.dumps(with_checksum(plain), indent=2, ensure_ascii=False)
    written = bytearray(text.encode("utf-8", "replace"))
    file.write_bytes(written)
    assert read_json(file) is not None  # also where UTF-8 cannot say all of it
    before = read_json(file)
    assert before == json.loads(json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace"))
    place = int(at * len(written))
    written[place] ^= 1 << bit
    file.write_bytes(written)
    now = read_json(file)
    # A flip in the checksum's own key is one in a file that never had any.
    assert now is None or now == before or "checksum" not in json.loads(file.read_bytes())


def test_what_is_written_is_what_is_checked(tmp_path: Path) -> None:
    content = {"a": 1.5, "b": [None, "\u00e9"], "checksum": "of another"}
    written = with_checksum(content)
    assert list(written) == ["a", "b", "checksum"] and written["checksum"] != "of another"
    assert checked(written) == {"a": 1.5, "b": [None, "\u00e9"]}
    assert checked({**written, "a": 1.25}) is None
    assert checked({"a": 1}) == {"a": 1} and checked([1]) == [1]
    assert changed_file(tmp_path) is None
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    (tmp_path / "hashes.json").write_text(json.dumps(hashes_content(tmp_path)), encoding="utf-8")
    assert changed_file(tmp_path) is None
    (tmp_path / "results.json").write_text("[]", encoding="utf-8")
    assert "results.json: its content changed" in str(changed_file(tmp_path))
    assert changed_file(tmp_path, ["examples.jsonl"]) is None
