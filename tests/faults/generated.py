"""Studies and rows drawn at random, mostly wrong, and what may become of them."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any, Final

from bakeoff.config import dump_yaml
from bakeoff.errors import BakeoffError
from bakeoff.study.loading import load_study
from bakeoff.tasks.conversation.chatml import chatml_text
from bakeoff.tasks.preparation.prepare import prepare
from tests.faults.sizes import ROWS_OF_CASE
from tests.studies import small_study
from tests.tasks.preparing import task_of
from tests.tokenizer_families import train_tokenizer

STRANGE: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**63, 10**30, 0.0, -0.0, 1e300, 1e-300, 0.5),
    *(float("nan"), float("inf"), "", " ", "\x00", "\u200b", "a" * 300, "../..", "/dev/zero"),
    *(
        "nan",
        "1e3",
        "auto",
        "lora",
        "tiny",
        "${HOME}",
        "{x}",
        "{{",
        "\ud800",
        "é",
        "日本",
        "\u2028",
    ),
    *([], {}, [None], [[]], {"": 1}, {"kind": "lora"}, [1, 2], ["a", 1], {"a": {"b": {"c": 1}}}),
)
_KEYS: Final = (
    *("kind", "source", "max_length", "template", "epochs", "seeds", "learning_rate", "rank"),
    *("alpha", "search", "budget", "metrics", "group", "also_test", "generation", "slots", "x", ""),
)


def study_of(number: int) -> dict[str, Any]:
    """A study that works, changed in one to four places: values, keys that are new or gone."""
    draw = random.Random(number)
    study: dict[str, Any] = copy.deepcopy(small_study())
    for _ in range(draw.randrange(1, 5)):
        place: Any = study
        for _ in range(draw.randrange(0, 4)):
            within = place.values() if isinstance(place, dict) else place
            inner = [value for value in within if isinstance(value, dict | list) and value]
            if not inner:
                break
            place = draw.choice(inner)
        value = copy.deepcopy(draw.choice(STRANGE))
        if isinstance(place, list):
            place[draw.randrange(len(place))] = value
            continue
        key = draw.choice([*place, draw.choice(_KEYS)])
        if draw.random() < 0.2:
            place.pop(key, None)
        else:
            place[key] = value
    return study


def text_of(number: int) -> str:
    """The study's file; some are damaged as text too."""
    draw = random.Random(-number)
    try:
        text = dump_yaml(study_of(number))
    except (BakeoffError, UnicodeError, ValueError):
        text = json.dumps(study_of(number))
    if draw.random() < 0.2:
        at = draw.randrange(len(text))
        junk = draw.choice(["\t", "&a ", "*a", "!!python/object:x", "\x00", ": ", "- ", "{", "\n"])
        text = text[:at] + junk + text[at + draw.randrange(3) :]
    return text


def study_fault(number: int, folder: Path) -> str | None:
    """What is wrong with how a drawn study is read: nothing where it is read or refused."""
    file = folder / "study.yaml"
    file.write_bytes(text_of(number).encode("utf-8", "surrogatepass"))
    try:
        load_study(file)
    except BakeoffError as error:
        return None if str(error).strip() else "an error without words"
    except RecursionError:
        return "RecursionError"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


_VALUES: Final[tuple[Any, ...]] = (
    *("A storm.", "storm", "\u200b", "", " ", "\x00", "<s>", "<|endoftext|>", "a" * 5000),
    *("\ud800", "e\u0301", "\u202e", "\r\n", "{context}", "{{ x }}", "日本語", "\ufeff", "🙂" * 40),
    *(0, 1, -1, 1.5, 10**40, True, None, float("nan"), float("inf"), [], {}, ["a"], [None]),
    *([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],),
    *([{"role": "user"}], [{"content": 1}], {"text": ["a", "b"], "label": ["A", "B"]}),
)
KINDS: Final[dict[str, dict[str, Any]]] = {
    "complete": {"template": "{context}\nA: {answer}", "target": "answer"},
    "summarize": {"document": "context", "summary": "answer"},
    "classify": {"text": "context", "label": "answer", "labels": ["storm", "1"]},
    "text": {"text": "context", "max_target_tokens": 1},
    "chat": {"chat_template": chatml_text()},
    "choose": {
        "question": "context",
        "choices": "choices",
        "answer": "answer",
        "answer_is": "text",
    },
}
GOOD: Final[dict[str, Any]] = {
    "context": "A storm.",
    "answer": "storm",
    "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    "choices": ["storm", "calm"],
}


def rows_fault(number: int, folder: Path) -> str | None:
    """What is wrong with how drawn rows are taken: each is used, or left out and counted."""
    draw = random.Random(number)
    kind = draw.choice(list(KINDS))
    rows = [GOOD]
    for _ in range(ROWS_OF_CASE):
        row = {k: v if draw.random() < 0.5 else draw.choice(_VALUES) for k, v in GOOD.items()}
        rows.append({k: v for k, v in row.items() if draw.random() > 0.05})
    for split in ("train", "validation", "test"):
        lines = (json.dumps(row) + "\n" for row in (rows if split == "train" else rows[:1]))
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    options = {"max_length": 64, "max_target_tokens": 16, "on_bad_row": "skip", **KINDS[kind]}
    try:
        task = task_of(kind=kind, **options)
        data = prepare(
            task, _tokenizer(), root=folder, cache_dir=None, tokenizer_id="small", workers=1
        )
    except BakeoffError as error:
        return f"{kind}: refused, though bad rows may be skipped: {error}"
    except Exception as error:
        return f"{kind}: {type(error).__name__}: {error}"
    part = data.splits["train"]
    used = len(set(part.rows.tolist()))
    if used + part.rows_skipped != len(rows):
        return f"{kind}: {len(rows)} rows, {used} used, {part.rows_skipped} left out"
    if part.tokens.lengths.max() > 64 or not (part.target_counts > 0).all():
        return f"{kind}: a row is too long, or has nothing to learn"
    return None


_KEPT: Final[list[Any]] = []


def _tokenizer() -> Any:
    if not _KEPT:
        _KEPT.append(train_tokenizer())
    return _KEPT[0]
