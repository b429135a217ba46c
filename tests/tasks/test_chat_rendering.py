"""Every kind of task laid out by the chat template of a base that has one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from bakeoff.data.examples import Example
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.texts import decode
from bakeoff.errors import ConfigError, DataError
from bakeoff.execution import outputs as outputs_module
from bakeoff.execution.outputs import ask
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.metrics.choice_nlls import AccuracyNorm
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.tasks.classify import Classify
from bakeoff.tasks.contract import Task
from bakeoff.tasks.conversation.chat_rendering import InChat, in_chat, template_for
from bakeoff.tasks.conversation.chat_templates import CHATML_TEMPLATE
from bakeoff.tasks.preparation.prepare import with_found
from bakeoff.tasks.summarize import Summarize
from bakeoff.testing.tasks import TaskContract
from tests.chat_shapes import ENDS, LED, SHAPES, chat_tokenizer
from tests.tasks.preparing import Row, Write, learnt_of, prepared_rows, read_of, task_of

HERE = Path()
ROWS: list[Row] = [
    {"document": "A storm hit the coast.", "summary": "Storm hits coast."},
    {"document": "Shares rose on Tuesday.", "summary": "Shares rise."},
    {"document": "Storm leaves towns without power.", "summary": "Towns are dark."},
]
LABELLED: list[Row] = [
    {"text": "A storm hit the coast.", "label": "weather"},
    {"text": "Shares rose on Tuesday.", "label": "business"},
    {"text": "Storm leaves towns without power.", "label": "weather"},
]
DIFFERING = "{{ 'asked ' if add_generation_prompt else 'said: ' }}" + (
    (SHAPES["chatml"] + "{% if not add_generation_prompt %}{% endif %}")
    .replace("{% for message in messages %}", "{% for message in messages %}{% generation %}")
    .replace("{% endfor %}", "{% endgeneration %}{% endfor %}")
)
"""A prompt's own beginning differs from the whole's."""
NOTE = "The base's chat template is used: the prompt is the user's message"


def chat_of(kind: str, shape: str, **options: Any) -> Task:
    task = task_of(kind=kind, **options)
    template = template_for(task, chat_tokenizer(shape), HERE)
    assert template is not None
    return in_chat(task, template)


class TestSummarizeInChat(TaskContract):
    kind = "summarize"
    rows = ROWS

    @pytest.fixture
    def task(self) -> Task:
        return in_chat(self.read(), CHATML_TEMPLATE)


class TestClassifyInChat(TaskContract):
    kind = "classify"
    options: ClassVar[dict[str, Any]] = {"labels": ["business", "weather"]}
    rows = LABELLED

    @pytest.fixture
    def task(self) -> Task:
        return in_chat(self.read(), CHATML_TEMPLATE)


@pytest.mark.parametrize("shape", SHAPES)
def test_prompt_and_answer_become_messages(write: Write, shape: str) -> None:
    tokenizer = chat_tokenizer(shape, bos=True)
    task, data = prepared_rows(write, tokenizer, ROWS)
    assert isinstance(task, Summarize) and isinstance(task, InChat)
    assert data.warnings[0].startswith(NOTE)
    train = data.splits["train"]
    messages = [
        {"role": "user", "content": "A storm hit the coast.\n\nTL;DR:"},
        {"role": "assistant", "content": "Storm hits coast."},
    ]
    options = {"tokenize": True, "return_dict": True, "date_string": "26 Jul 2024"}
    asked = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, **options)
    assert train.prompts[0].tolist() == asked["input_ids"]
    whole = tokenizer.apply_chat_template(messages, **options)["input_ids"]
    if ENDS[shape]:  # what a template puts after it is not laid out
        end_id = tokenizer.convert_tokens_to_ids(ENDS[shape])
        whole = whole[: len(whole) - whole[::-1].index(end_id)]
    after = [] if ENDS[shape] else [tokenizer.eos_token_id]
    assert train.tokens[0].tolist() == whole + after
    lead = " " if shape in ("mistral", "plain") else ""
    end = ENDS[shape] or "\n<|endoftext|>"
    assert tokenizer.decode(learnt_of(train, 0)) == f"{lead}Storm hits coast.{end}"
    assert train.references[0] == ["Storm hits coast."]
    assert train.shown[0] == "A storm hit the coast."
    # Bits per byte are comparable between bases, whatever their templates write.
    plain = [task_of().example(row).target for row in ROWS]
    assert train.target_bytes.tolist() == [len(text) for text in plain]
    assert task.stop_tokens == ((ENDS[shape],) if ENDS[shape] else ())


@pytest.mark.parametrize("shape", SHAPES)
def test_choices_follow_the_prompt_for_an_answer(write: Write, shape: str) -> None:
    tokenizer = chat_tokenizer(shape)
    task, data = prepared_rows(write, tokenizer, LABELLED, kind="classify")
    train = data.splits["train"]
    lead = " " if shape in ("mistral", "plain") else ""
    [choices] = train.choice_sets
    assert choices.texts == (f"{lead}business", f"{lead}weather")
    assert train.gold.tolist() == [1, 0, 1]
    for i, row in enumerate(LABELLED):
        # What is learnt is what the right choice says, and no end of a turn.
        assert learnt_of(train, i) == choices.tokens[train.gold[i]].tolist()
        assert read_of(train, i) == train.prompts[i].tolist()
        assert tokenizer.decode(learnt_of(train, i)) == f"{lead}{row['label']}"
    assert [task.answer_shown(choice) for choice in choices.texts] == ["business", "weather"]
    assert not [w for w in data.warnings if "a token holds" in w]


@pytest.mark.parametrize("template", ["auto", DIFFERING], ids=["auto", "differing"])
@pytest.mark.parametrize("shape", SHAPES)
def test_data_of_solved_examples_are_data_too(shape: str, template: str) -> None:
    task = chat_of("summarize", shape, chat_template=template)
    own, *others = (task.example(row) for row in ROWS)
    spans = [own.text[a:b] for a, b in own.literal_spans]
    assert spans == [ROWS[0]["document"], ROWS[0]["summary"]]
    found = task.example(ROWS[0], others)
    before = [text for one in ROWS[1:] for text in (f"{one['document']}\n\nTL;DR:", one["summary"])]
    assert [found.text[a:b] for a, b in found.literal_spans] == [*before, *spans]


@pytest.mark.parametrize("template", ["{text}\n{label}", "{text}: {label}\n###", "{text}({label})"])
def test_a_choice_is_shown_as_the_references_spell_it(template: str) -> None:
    labels = ["a (b)", "###"]
    task = in_chat(task_of(kind="classify", labels=labels, template=template), CHATML_TEMPLATE)
    example = task.example({"text": "a storm", "label": "###"})
    assert [task.answer_shown(choice) for choice in example.choices] == labels


def test_a_choice_is_shown_without_what_the_template_puts_before_it() -> None:
    options = {"labels": ["no", "yes"], "chat_template": LED}
    task = chat_of("classify", "chatml", **options)
    example = task.example({"text": "a storm", "label": "yes"})
    assert task.lead == "<think>\n\n</think>\n\n"
    assert example.choices == (f"{task.lead}no", f"{task.lead}yes")
    assert [example.text[a:b] for a, b in example.target_spans] == [f"{task.lead}yes"]
    assert [task.answer_shown(choice) for choice in example.choices] == ["no", "yes"]


def test_metrics_and_warnings_know_nothing_of_what_stands_before_answers(write: Write) -> None:
    """Likelihoods per character are per character of the answer, and leaks are seen."""
    labels = ("fraud", "an arson attack")
    rows = [{"text": f"{n} on {labels[n % 2]}", "label": labels[n % 2]} for n in range(12)]
    options: dict[str, Any] = {"kind": "classify", "chat_template": LED, "max_target_tokens": 60}
    _, data = prepared_rows(write, chat_tokenizer("chatml"), rows, **options)
    test = data.splits["test"]
    expected = test.expected[0]
    assert expected.choices == ("an arson attack", "fraud")
    # By characters the first is likelier, with the lead's 19 the second.
    outputs = ModelOutputs(choice_nlls=[np.array([10.0, 5.0])])
    first = dataclasses.replace(expected, gold=0)
    metric = AccuracyNorm()
    assert metric.value(metric.statistics(outputs, [first])[0]) == 1.0
    assert any("names the right label and no other" in caution for caution in data.cautions)


def test_a_lead_of_special_tokens_is_taken_off_as_it_is_decoded() -> None:
    """As gpt-oss's channels, whose marks are dropped while the word between them is not."""
    tokenizer = chat_tokenizer("chatml")
    lead = "<|start_header_id|>final<|end_header_id|>"
    base: Any = SimpleNamespace(tokenizer=tokenizer)
    ids = [tokenizer(f"{lead}{text}")["input_ids"] for text in ("Paris", "finally")]
    assert decode(base, ids, lead) == ["Paris", "finally"]
    assert decode(base, ids) == ["finalParis", "finalfinally"]


def test_what_the_template_writes_before_an_answer_is_not_scored(
    monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    tokenizer = chat_tokenizer("chatml")
    options: dict[str, Any] = {"kind": "complete", "chat_template": LED}
    rows = [{"prompt": "Where?", "completion": "Paris"}, {"prompt": "Who?", "completion": "Ada"}]
    task, data = prepared_rows(write, tokenizer, rows, **options)
    part = data.splits["train"]
    assert tokenizer.decode(learnt_of(part, 0)).startswith("<think>\n\n</think>\n\nParis")
    ids = [learnt_of(part, 0), tokenizer("Ada <think>\n\n</think>")["input_ids"]]

    def fake(cohort: Any, slots: Any, prompts: Any, generation: Any, **given: Any) -> None:
        given["written"](0, np.arange(2), ids)

    monkeypatch.setattr(outputs_module, "generate", fake)
    cohort: Any = SimpleNamespace(base=SimpleNamespace(tokenizer=tokenizer))
    no_plan: Any = None  # texts are written without one
    with BackgroundScoring(()) as scoring:
        [found] = ask(
            cohort,
            [0],
            part,
            no_plan,
            frozenset({Ask.TEXT}),
            GenerationOptions(),
            scoring,
            lead=task.lead,
        )
    assert found.texts == ["Paris", "Ada <think>\n\n</think>"]


def test_where_there_is_no_template_nothing_changes(write: Write, tokenizer: Any) -> None:
    task, data = prepared_rows(write, tokenizer, ROWS)
    assert not isinstance(task, InChat) and task.chat is None
    assert data.found == {} and not any("chat" in warning for warning in data.warnings)
    plain = task_of().example(ROWS[0])
    assert plain.text == "A storm hit the coast.\n\nTL;DR: Storm hits coast."


def test_when_a_template_is_taken() -> None:
    with_one, without = chat_tokenizer("gemma"), chat_tokenizer(None)

    def name(tokenizer: Any, **options: Any) -> str | None:
        found = template_for(task_of(**options), tokenizer, HERE)
        return None if found is None else found.name

    assert name(with_one) == "the base's chat template"
    assert name(without) is None
    assert name(with_one, chat_template="none") is None
    assert name(with_one, chat_template="chatml") == name(without, chat_template="chatml")
    assert name(without, chat_template="chatml") == "ChatML"
    # Who lays out plain text gets plain text, unless a chat template is asked for.
    own = "{document}\nSummary: {summary}"
    assert name(with_one, template=own) is None
    assert name(with_one, template=own, chat_template="chatml") == "ChatML"


def test_a_kind_without_prompts_has_no_use_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classify, "chat_template_use", "never")
    tokenizer = chat_tokenizer("gemma")
    assert template_for(task_of(kind="classify"), tokenizer, HERE) is None
    with pytest.raises(ConfigError, match=r"task\.chat_template is 'chatml', but classify has no"):
        template_for(task_of(kind="classify", chat_template="chatml"), tokenizer, HERE)


def test_the_study_s_task_stays_as_it_is() -> None:
    for kind in ("summarize", "chat"):
        task = task_of(kind=kind)
        made = in_chat(task, CHATML_TEMPLATE)
        assert made is not task and task.chat is None
        assert type(in_chat(made, CHATML_TEMPLATE)) is type(made)
        assert made.kind == kind and made.options == task.options


def test_a_run_s_record_gives_the_same_layout(write: Write) -> None:
    task, data = prepared_rows(write, chat_tokenizer("mistral"), LABELLED, kind="classify")
    again = with_found(task_of(kind="classify"), data.found)
    assert again.options.labels == ("business", "weather")
    assert again.from_rows == {"labels"}
    assert again.example(LABELLED[0]) == task.example(LABELLED[0])
    assert again.stop_tokens == ("<|endoftext|>",)


@pytest.mark.parametrize("shape", SHAPES)
def test_long_documents_are_cut_inside_the_message(write: Write, shape: str) -> None:
    tokenizer = chat_tokenizer(shape)
    rows: list[Row] = [
        {"document": "the storm " * 60 + f"{i}", "summary": "Storm hits coast."} for i in range(2)
    ]
    _, data = prepared_rows(write, tokenizer, rows, max_length=160, max_target_tokens=30)
    train = data.splits["train"]
    assert train.rows_cut == 2
    assert np.diff(train.tokens.offsets).max() <= 160
    text, prompt = tokenizer.decode(train.tokens[0]), tokenizer.decode(train.prompts[0])
    assert "TL;DR:" in text and "TL;DR:" in prompt
    assert "Storm hits coast." in text and text.startswith(prompt)
    assert len(train.prompts[0]) == 130


def test_words_give_way_where_tokens_cannot(write: Write) -> None:
    """The prompt's own beginning differs from the whole's, so that one cut does not fit both."""
    rows: list[Row] = [{"document": "the storm " * 40, "summary": "Storm."}]
    _, data = prepared_rows(
        write,
        chat_tokenizer(None),
        rows,
        chat_template=DIFFERING,
        max_length=90,
        max_target_tokens=20,
    )
    train = data.splits["train"]
    assert len(train.tokens[0]) <= 90 and len(train.prompts[0]) <= 70


def test_special_tokens_in_data_are_plain_text(write: Write) -> None:
    tokenizer = chat_tokenizer("chatml")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    rows: list[Row] = [{"document": "a <|im_end|> b", "summary": "c <|im_end|> d"}]
    _, data = prepared_rows(write, tokenizer, rows)
    train = data.splits["train"]
    assert train.tokens[0].tolist().count(end) == 2
    assert train.prompts[0].tolist().count(end) == 1


def test_solved_examples_are_turns_of_their_own() -> None:
    task = chat_of("summarize", "chatml")
    shots = [task.example(row) for row in ROWS[:2]]
    shown = task.example(ROWS[2], shots)
    before = f"{shots[0].text}\n{shots[1].text}\n"
    assert shown.text == before + task.example(ROWS[2]).text
    assert shown.prompt == before + task.prompt(ROWS[2]).prompt
    assert [shown.text[a:b] for a, b in shown.target_spans] == ["Towns are dark.<|im_end|>"]
    assert shown.cut_span is not None
    assert shown.text[slice(*shown.cut_span)] == ROWS[2]["document"]
    plain = [task_of().example(row) for row in ROWS[:2]]
    assert task.example(ROWS[2], plain).text == shown.text
    classify = chat_of("classify", "chatml", labels=["business", "weather"])
    shown = classify.example(LABELLED[0], [classify.example(LABELLED[1])])
    assert "<|im_start|>assistant\nbusiness<|im_end|>\n" in shown.prompt


def test_a_template_that_changes_the_message_is_refused() -> None:
    text = SHAPES["chatml"].replace("message['content']", "message['content'] | upper")
    task = in_chat(task_of(), CHATML_TEMPLATE.__class__(name="the base's", text=text))
    with pytest.raises(DataError) as caught:
        task.example(ROWS[0])
    assert "the base's changes a message that is 'A storm hit the coast" in str(caught.value)
    assert "task.chat_template: none" in str(caught.value)


def test_shortening_renders_again() -> None:
    task = chat_of("summarize", "llama3")
    example = task.example(ROWS[0])
    shorter: Example | None = task.shorten(example)
    assert shorter is not None
    assert shorter.cut_span is not None and shorter.target_spans
    document = shorter.text[slice(*shorter.cut_span)]
    assert str(ROWS[0]["document"]).startswith(document)
    assert shorter.text.count("Storm hits coast.<|eot_id|>") == 1
