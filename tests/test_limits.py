"""What programs of others may take: time and memory, each with the limit in its error."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff import limits
from bakeoff.errors import BakeoffError, ConfigError, DataError
from bakeoff.limits import OverLimitError, limited
from bakeoff.methods.low_rank.updates import pattern_for
from bakeoff.metrics.registry import read_metrics
from bakeoff.tasks.conversation.chat_rendering import template_for
from tests.tasks.preparing import task_of
from tests.tokenizer_families import train_tokenizer

BACKTRACKING = "(a|a)*$"
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets limits that what is hostile comes to at once, and what is not could as well by chance:
    the collector of a large process can take as long."""

    def set_limits() -> None:
        monkeypatch.setattr(limits, "SECONDS", 0.2)
        monkeypatch.setattr(limits, "_MEMORY", 1 << 27)

    return set_limits


@pytest.fixture
def _soon(soon: Callable[[], None]) -> None:
    soon()


@pytest.mark.usefixtures("_soon")
def test_an_expression_that_would_never_end_is_ended() -> None:
    with pytest.raises(OverLimitError, match=r"mine: took more than 0\.2 seconds"), limited("mine"):
        re.match(BACKTRACKING, "a" * 60 + "!")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) in (signal.SIG_DFL, None)


@pytest.mark.usefixtures("_soon")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_swallows_the_first_signal_is_ended_by_the_next() -> None:
    class Lost:
        def __del__(self) -> None:
            # What is raised here is printed and lost.
            re.match(BACKTRACKING, "a" * 60 + "!")

    with pytest.raises(OverLimitError, match=r"mine: took more than 0\.2 seconds"), limited("mine"):
        Lost()
        re.match(BACKTRACKING, "a" * 60 + "!")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_is_limited_inside_alone() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    # So large that it is asked of the system, whatever earlier tests have left to be used again.
    with pytest.raises(MemoryError), limited("mine", memory=1 << 24):
        bytes(1 << 33)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    bytes(1 << 29)


def test_other_threads_run_as_they_are() -> None:
    found: list[int] = []

    def run() -> None:
        with limited("mine"):
            found.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [1]


@pytest.mark.usefixtures("_soon")
def test_the_pattern_of_an_adapter_of_others() -> None:
    with pytest.raises(BakeoffError, match=r"the pattern '\(a\|a\)\*!': took more than"):
        pattern_for("a" * 60, ["q", "(a|a)*!"])


CORPUS = Path(__file__).parent / "faults/corpus"
HOSTILE = {file.stem: file.read_text("utf-8") for file in (CORPUS / "templates").iterdir()}
SCHEMAS = {file.stem: json.loads(file.read_text()) for file in (CORPUS / "schemas").iterdir()}
SAYS = "took more than|gibibyte of memory|are the limit|Exceeds the limit"


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_a_hostile_template_is_refused_by_its_limit(tmp_path: Path, kind: str) -> None:
    task = task_of(kind="chat", chat_template=HOSTILE[kind])
    with pytest.raises(ConfigError, match=SAYS) as caught:
        template_for(task, train_tokenizer(), tmp_path)
    assert "task.chat_template" in str(caught.value)


def test_a_template_that_is_hostile_to_one_conversation_is_an_error_of_its_row(
    tmp_path: Path, soon: Callable[[], None]
) -> None:
    text = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n"
        "{% if 'now' in m['content'] %}{% for a in range(9999) %}{% for b in range(9999) %}"
        "{% endfor %}{% endfor %}{% endif %}{% endfor %}"
    )
    template = template_for(task_of(kind="chat", chat_template=text), train_tokenizer(), tmp_path)
    assert template is not None
    assert template.plain([{"role": "user", "content": "Later."}]) == "user: Later.\n"
    soon()
    with pytest.raises(DataError, match=r"took more than 0\.2 seconds .* chatml"):
        template.plain([{"role": "user", "content": "Do it now."}])


@pytest.mark.parametrize("name", ["endless", "large"])
def test_a_template_that_never_ends(tmp_path: Path, name: str) -> None:
    if name == "endless":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"x" * 1_000_001)
    with pytest.raises(ConfigError, match=r"no regular file|larger than 1000000 bytes"):
        template_for(task_of(kind="chat", chat_template=name), train_tokenizer(), tmp_path)


def holds(schema: Any, text: str) -> float:
    from bakeoff.metrics.contract import ModelOutputs

    [metric] = read_metrics([{"schema_valid": {"schema": schema}}], labels=())
    return float(metric.statistics(ModelOutputs(texts=[text]), [None])[0, 0])  # type: ignore[list-item]


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_hostile_schema_is_refused_by_its_limit(kind: str) -> None:
    schema = SCHEMAS[kind]
    text = '{"%s!": 1}' % ("a" * 60) if "patternProperties" in schema else '"%s!"' % ("a" * 60)
    with pytest.raises(ConfigError, match=r"schema_valid\.schema: took more than 0\.2 seconds"):
        holds(schema, text)


def test_a_schema_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: object, document: object) -> bool:
        raise MemoryError

    from jsonschema import Draft202012Validator

    monkeypatch.setattr(Draft202012Validator, "is_valid", greedy)
    with pytest.raises(ConfigError, match="more than a gibibyte of memory for one answer"):
        holds({"type": "string"}, '"a"')


def test_a_schema_keeps_to_its_limits_and_to_its_words(tmp_path: Path) -> None:
    assert holds({"pattern": "^a+$"}, '"aaa"') == 1
    assert holds({"pattern": "^a+$"}, '"aab"') == 0
    with pytest.raises(ConfigError, match=r"is no JSON Schema: \$\.pattern"):
        holds({"pattern": "("}, '"a"')
    os.mkfifo(tmp_path / "endless.json")
    with pytest.raises(ConfigError, match="no regular file"):
        holds(str(tmp_path / "endless.json"), "1")
    with pytest.raises(ConfigError, match="no regular file"):
        read_metrics([{"python": {"function": f"{endless_py(tmp_path)}:f"}}], labels=())


def endless_py(folder: Path) -> Path:
    os.mkfifo(folder / "endless.py")
    return folder / "endless.py"
