"""Ten wrong studies and what each prints: ``docs/errors.md`` is made of them.

``python -m tests.cli.wrong_studies`` writes the page again.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

from bakeoff.config import apply_overrides
from bakeoff.errors import BakeoffError
from bakeoff.study.loading import study_from_mapping

PAGE: Final = Path(__file__).parents[2] / "docs" / "errors.md"
RIGHT: Final[dict[str, Any]] = {
    "name": "mine",
    "base": "tiny",
    "task": {"kind": "classify", "source": "rows.csv"},
    "methods": {"lora": {"rank": 8}, "full": {}},
}
WRONG: Final[tuple[tuple[str, str], ...]] = (
    ("a name of another tool in a method", "methods.lora.r=8"),
    ("a key of `TrainingArguments`", "num_train_epochs=3"),
    ("the learning rate in the protocol", "protocol.learning_rate=2e-4"),
    ("a misspelt key", "protocol.epoch=3"),
    ("a number as text", 'methods.lora.rank="8"'),
    ("a value that is none of those there are", "protocol.schedule=cosin"),
    ("a value out of its range", "protocol.epochs=0"),
    ("a method that is not here", "methods.qlora={}"),
    ("a kind of task that is misspelt", "task.kind=clasify"),
    ("no method at all", "methods={}"),
)
HEAD: Final = """# What a wrong study prints

A study is checked before anything is loaded. An error is one line on stderr, with exit code 2:
the place of the setting, what was given, the rule and the remedy. Each line below is printed by
this study with one setting changed; a test runs them again and compares.

```yaml
name: mine
base: tiny
task: {kind: classify, source: rows.csv}
methods: {lora: {rank: 8}, full: {}}
```

| what is wrong | `--set` | what is printed |
| --- | --- | --- |
"""


def printed(override: str) -> str:
    """The error of the study with one setting changed."""
    try:
        study_from_mapping(apply_overrides(copy.deepcopy(RIGHT), [override]), folder=Path.cwd())
    except BakeoffError as error:
        return str(error)
    raise AssertionError(f"{override}: the study is not wrong")


def page() -> str:
    """``docs/errors.md`` as it should be."""
    lines = [f"| {what} | `{override}` | {printed(override)} |\n" for what, override in WRONG]
    return HEAD + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
