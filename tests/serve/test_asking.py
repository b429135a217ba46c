"""What a conversation's request becomes, by the study's columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.tasks.preparing import task_of

if TYPE_CHECKING:
    from bakeoff.serve.served import Served

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def served(rows: list[dict[str, Any]], place: Path, **options: Any) -> Served:
    """A model of a study, of conversations unless asked otherwise, in such rows."""
    from bakeoff.base.model import Base
    from bakeoff.base.weights.sources import load_source
    from bakeoff.serve.served import Asking, Served
    from bakeoff.tasks.preparation.prepare import with_found

    source = load_source("scratch:tiny-gpt-neo", root=place, cache_dir=place)
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    task = task_of(**{"kind": "chat", **options})
    task = with_found(task, task.found(rows))
    return Served(
        name="lora",
        kind="lora",
        title="",
        study="talks",
        lane="base0",
        asking=Asking(base, task, None),
        loader=lambda: (None, {}),
    )


def asked(model: Served, *texts: str, tools: Any = ()) -> str:
    """The prompt's text."""
    from bakeoff.serve.http.asking import chat_prompt
    from bakeoff.serve.http.bodies import Message

    messages = [Message(role="user", content=text) for text in texts]
    prompt, raw = chat_prompt(model, messages, raw=False, tools=tools)
    assert not raw
    return str(model.asking.tokenizer.decode(prompt.ids))


def test_tools_come_with_a_request_or_not_at_all(tmp_path: Path) -> None:
    from bakeoff.serve.http.faults import ApiError

    model = served([{"messages": [], "tools": [TOOL]}], tmp_path)
    assert "look" in asked(model, "A storm?", tools=[TOOL])
    assert "look" not in asked(model, "A storm?")
    with pytest.raises(ApiError, match="tool 1"):
        asked(model, "A storm?", tools=[{"a": 1}])
    without = served([{"messages": []}], tmp_path)
    with pytest.raises(ApiError, match="without tools"):
        asked(without, "A storm?", tools=[TOOL])


def test_an_instruction_needs_no_input(tmp_path: Path) -> None:
    from bakeoff.serve.http.faults import ApiError

    row = {"instruction": "a", "input": "b", "output": "c"}
    # As found in the rows, and as a study names them that `init` wrote.
    for options in ({}, {key: key for key in row}):
        model = served([row], tmp_path, **options)
        assert "A storm?" in asked(model, "A storm?")
        with pytest.raises(ApiError, match="without tools"):
            asked(model, "A storm?", tools=[TOOL])


def test_a_prompt_of_several_columns_is_an_object_or_refused(tmp_path: Path) -> None:
    from bakeoff.serve.http.asking import text_prompt
    from bakeoff.serve.http.faults import ApiError

    options = {"kind": "complete", "template": "{a} and {b}: {c}", "target": "c"}
    model = served([{"a": "x", "b": "y", "c": "z"}], tmp_path, **options)
    prompt, _ = text_prompt(model, '{"a": "one", "b": "two"}', raw=False)
    assert "one and two" in str(model.asking.tokenizer.decode(prompt.ids))
    for text in ("[" * 100_000, "one", "[1]"):
        with pytest.raises(ApiError, match="give them as `row`"):
            text_prompt(model, text, raw=False)


def test_a_conversation_by_the_bases_template_ends_with_its_turn(tmp_path: Path) -> None:
    from bakeoff.base.model import Base
    from bakeoff.base.weights.sources import load_source
    from bakeoff.serve.http.asking import chat_prompt, sampling_of
    from bakeoff.serve.http.bodies import Message, Settings
    from bakeoff.serve.served import Asking

    source = load_source("scratch:tiny-gpt-neo", root=tmp_path, cache_dir=tmp_path)
    tokenizer = source.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
    source.model.resize_token_embeddings(len(tokenizer))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    eos, turn = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")
    config = source.model.generation_config
    assert config is not None and isinstance(eos, int)
    config.eos_token_id = [eos, 7]
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    model = replace(served([{"messages": []}], tmp_path), asking=Asking(base, None, None))
    messages = [Message(role="user", content="A storm?")]
    prompt, raw = chat_prompt(model, messages, raw=False)
    settings = Settings()
    assert sampling_of(model, prompt, settings, 4, raw=raw).stop_ids == {eos, turn, 7}
    plain = model.asking.of_text("A storm?")
    assert sampling_of(model, plain, settings, 4, raw=True).stop_ids == {eos}
    config.eos_token_id = None
    assert Asking(base, None, None).chat_stops == {eos, turn}


def test_choices_of_requests_are_remembered_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.serve.served._CHOICES", 2000)
    asking = served([{"messages": []}], tmp_path).asking
    for number in range(50):
        assert all(asking.choices_of("A storm?", (f" yes {number}", f" no {number}")))
    assert len(asking._choices._found) < 10
