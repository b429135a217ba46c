"""Examples as tokens: what is supervised, what gives way, how choices follow a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.data.encode import TextEncoder
from bakeoff.data.examples import Example
from bakeoff.data.layout import Laid, Layout, cut_tail
from bakeoff.data.options import TaskOptions
from tests.tokenizer_families import FAMILIES, FAST, tokenizer_of

DATA = "the storm left two towns without power on Monday"
ANSWER = "the coast"


def example(
    data: str = DATA,
    answer: str = ANSWER,
    *,
    before: str = "Summary: ",
    between: str = "\nTL;DR:",
    gap: str = " ",
    after: str = "",
    **fields: Any,
) -> Example:
    """A row whose data give way; the answer is learnt with the gap before and the text after it."""
    prompt = f"{before}{data}{between}"
    cut = (len(before), len(before) + len(data))
    text = f"{prompt}{gap}{answer}{after}"
    start = len(prompt) + len(gap)
    made: dict[str, Any] = {
        "text": text,
        "target_spans": ((len(prompt), len(text)),),
        "literal_spans": (cut, (start, start + len(answer))),
        "prompt": prompt,
        "cut_span": cut,
        **fields,
    }
    return Example(**made)


def layout(family: str, *, shorten: Any = None, **options: Any) -> Layout:
    lengths = {"max_length": 512, "max_target_tokens": 1, **options}
    task = TaskOptions(kind="test", source="unused", **lengths)
    encoder = TextEncoder(tokenizer_of(family), tokenizer_id=family)
    assert task.max_length is not None
    return Layout(
        encoder,
        shorten or (lambda _: None),
        max_length=task.max_length,
        max_target_tokens=task.max_target_tokens,
    )


def lay(family: str, given: Example, **options: Any) -> Laid:
    [laid] = layout(family, **options).rows([given])
    return laid


def plain(family: str, text: str) -> list[int]:
    found: list[int] = tokenizer_of(family)(text, add_special_tokens=False)["input_ids"]
    return found


def start_of(family: str) -> list[int]:
    tokenizer = tokenizer_of(family)
    return [
        id_ for id_ in tokenizer("a")["input_ids"] if id_ == tokenizer.convert_tokens_to_ids("<s>")
    ]


# What is supervised


@pytest.mark.parametrize("family", FAMILIES)
def test_what_touches_the_target_is_supervised(family: str) -> None:
    tokenizer, given = tokenizer_of(family), example(after=" The end")
    laid = lay(family, given)
    assert laid.ids.tolist() == [
        *start_of(family),
        *plain(family, given.text),
        tokenizer.eos_token_id,
    ]
    assert not laid.is_cut and laid.missing == 0
    learnt, read = laid.ids[laid.is_target], laid.ids[~laid.is_target]
    assert learnt[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(learnt[:-1]).strip() == given.target.strip() == "the coast The end"
    assert tokenizer.decode(read[len(start_of(family)) :]).strip() == given.prompt
    # In one piece, at the end.
    assert np.flatnonzero(laid.is_target).tolist() == list(range(len(read), len(laid.ids)))


@pytest.mark.parametrize("family", FAST)
def test_a_token_of_prompt_and_answer_is_supervised(family: str) -> None:
    """Where the joint is inside a token, the token has to be learnt."""
    given = example(between=": stor", gap="", answer="m")
    laid = lay(family, given)
    last = plain(family, given.text)[-1]
    assert tokenizer_of(family).decode([last]).strip() in ("storm", "orm", "m")
    assert laid.ids[laid.is_target].tolist()[:-1] == [last]


@pytest.mark.parametrize("family", FAMILIES)
def test_any_set_of_spans_is_supervised(family: str) -> None:
    """As a chat's turns: two answers, and what stands between them is only read."""
    tokenizer = tokenizer_of(family)
    text = "Company: profit\nStorm: towns\nCompany: power\nStorm: coast\n"
    answers = [" towns", " coast"]
    spans = tuple((text.index(a), text.index(a) + len(a)) for a in answers)
    laid = lay(family, Example(text=text, target_spans=spans, ends=False))
    learnt = tokenizer.decode(laid.ids[laid.is_target])
    assert learnt.split() == ["towns", "coast"]
    assert tokenizer.eos_token_id not in laid.ids
    # The end is not learnt where the last span stops before it.
    ended = lay(family, Example(text=text, target_spans=spans))
    assert ended.ids[-1] == tokenizer.eos_token_id
    assert not ended.is_target[-1]
    assert ended.ids[:-1].tolist() == laid.ids.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_end_of_text_spelt_in_the_template_is_not_doubled(family: str) -> None:
    tokenizer = tokenizer_of(family)
    laid = lay(family, example(after=tokenizer.eos_token))
    assert laid.ids.tolist().count(tokenizer.eos_token_id) == 1
    assert laid.ids[-1] == tokenizer.eos_token_id
    assert laid.is_target[-1]
    without = lay(family, example(after=tokenizer.eos_token, ends=False))
    assert without.ids.tolist() == laid.ids.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_spelt_in_data_are_plain_text_and_meant_in_the_template(family: str) -> None:
    tokenizer = tokenizer_of(family)
    eos = tokenizer.eos_token
    given = example(f"a {eos} storm", f"the {eos} coast", between=f"{eos}TL;DR:")
    laid = lay(family, given)
    places = np.flatnonzero(laid.ids == tokenizer.eos_token_id)
    assert len(places) == 2, "the template's and the end"
    assert laid.is_target[places].tolist() == [False, True]
    assert tokenizer.decode(laid.ids[laid.is_target][:-1]).strip() == f"the {eos} coast"
    [prompt] = layout(family).prompts([given])
    assert prompt.ids.tolist().count(tokenizer.eos_token_id) == 1
    assert prompt.ids.tolist() == laid.ids[~laid.is_target].tolist()


@pytest.mark.parametrize("family", ["byte_level_bos", "metaspace", "llama"])
def test_begin_of_text_comes_once(family: str) -> None:
    bos = start_of(family)[0]
    for given in (example(), example(before="<s>Summary: ")):
        laid = lay(family, given)
        assert laid.ids.tolist().count(bos) == 1
        assert laid.ids[0] == bos
        [prompt] = layout(family).prompts([given])
        assert prompt.ids[0] == bos
        assert prompt.ids.tolist().count(bos) == 1


def test_nothing_predicts_a_first_token() -> None:
    """Without begin-of-text the first token cannot be learnt; with it, it can."""
    given = Example(text="the coast", target_spans=((0, 9),))
    laid = lay("byte_level", given)
    assert laid.is_target.tolist() == [False] + [True] * (len(laid.ids) - 1)
    with_start = lay("byte_level_bos", given)
    assert with_start.ids[1:].tolist() == laid.ids.tolist()
    assert with_start.is_target.tolist() == [False] + [True] * len(laid.ids)


def test_tokens_of_data_are_counted_before_they_are_cut() -> None:
    given = example()
    counted = lay("bytes", given).num_data
    assert counted == len(DATA) + len(ANSWER)
    cut = lay("bytes", given, max_length=48)
    assert cut.is_cut
    assert cut.num_data == counted


# What gives way


def fixed(family: str, given: Example) -> tuple[int, int]:
    """(tokens of a row that never go, tokens that may)."""
    assert given.cut_span is not None
    laid = lay(family, given)
    encoder = TextEncoder(tokenizer_of(family), tokenizer_id=family)
    [encoded] = encoder.encode([given.text], [given.literal_spans], [[given.cut_span]])
    inside = int(
        (
            (encoded.offsets[:, 0] >= given.cut_span[0])
            & (encoded.offsets[:, 1] <= given.cut_span[1])
        ).sum()
    )
    return len(laid.ids) - inside, inside


@pytest.mark.parametrize("family", FAMILIES)
def test_the_data_s_end_gives_way_token_by_token(family: str) -> None:
    given = example()
    whole = lay(family, given)
    kept, free = fixed(family, given)
    assert free > 4
    for num_cut in (0, 1, 3, free - 1):
        laid = lay(family, given, max_length=kept + free - num_cut)
        assert laid.missing == 0
        assert laid.is_cut == (num_cut > 0)
        assert len(laid.ids) == kept + free - num_cut
        # All of the answer, and of the data what comes first.
        assert laid.ids[laid.is_target].tolist() == whole.ids[whole.is_target].tolist()
        read, all_read = laid.ids[~laid.is_target], whole.ids[~whole.is_target]
        end = np.flatnonzero(read != all_read[: len(read)])
        first = int(end[0]) if len(end) else len(read)
        assert read[first:].tolist() == all_read[first + num_cut :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_of_the_data_stays(family: str) -> None:
    given = example()
    whole = lay(family, given)
    kept, _ = fixed(family, given)
    for lacking in (0, 1, 7):
        laid = lay(family, given, max_length=kept + 1 - lacking)
        assert laid.missing == lacking
        if lacking:
            assert laid.ids.tolist() == whole.ids.tolist(), "what is counted is whole"
        else:
            assert len(laid.ids) == kept + 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("over", [-2, 0, 1, 4])
def test_a_long_answer_takes_room_from_its_own_input_only(family: str, over: int) -> None:
    given = example(DATA * 3)
    num_target = int(lay(family, given).is_target.sum())
    reserved = num_target - over
    length = fixed(family, given)[0] + 10
    options = {"max_length": length, "max_target_tokens": reserved}
    laid = lay(family, given, **options)
    [prompt] = layout(family, **options).prompts([given])
    assert int(laid.is_target.sum()) == num_target
    assert len(laid.ids) == length - max(0, reserved - num_target)
    assert len(prompt.ids) == length - reserved
    other = example(DATA * 3, "a much longer answer about the coast and the towns")
    [same] = layout(family, **options).prompts([other])
    assert same.ids.tolist() == prompt.ids.tolist(), "nothing of the reference shows"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_lacks_what_it_lacks(family: str) -> None:
    given = example()
    [whole] = layout(family).prompts([given])
    _, free = fixed(family, given)
    least = len(whole.ids) - free + 1
    [fitting] = layout(family, max_length=least + 5, max_target_tokens=5).prompts([given])
    assert len(fitting.ids) == least
    assert fitting.missing == 0 and fitting.is_cut
    assert fitting.length == whole.length == len(whole.ids) and not whole.is_cut
    [lacking] = layout(family, max_length=least + 3, max_target_tokens=5).prompts([given])
    assert lacking.missing == 2


def turns_less(given: Example) -> Example | None:
    """A turn less at the front, as a chat does."""
    head, _, rest = given.text.partition("\n")
    size = len(head) + 1
    if not rest or size > given.target_spans[0][0]:
        return None
    return replace(
        given,
        text=rest,
        prompt=given.prompt[size:],
        target_spans=tuple((a - size, b - size) for a, b in given.target_spans),
        literal_spans=(),
    )


def test_a_row_without_data_to_cut_is_shortened_by_its_task() -> None:
    text = "old turn\nnewer turn\nlast turn\n answer"
    given = Example(
        text=text, target_spans=((len(text) - 7, len(text)),), prompt=text[:-7], ends=False
    )
    whole = len(text)
    made = layout("bytes", shorten=turns_less, max_length=whole - 1)
    [laid] = made.rows([given])
    assert laid.example.text == "newer turn\nlast turn\n answer"
    assert laid.is_cut and laid.missing == 0
    assert tokenizer_of("bytes").decode(laid.ids) == laid.example.text
    assert tokenizer_of("bytes").decode(laid.ids[laid.is_target]) == " answer"
    [prompt] = layout("bytes", shorten=turns_less, max_length=22, max_target_tokens=7).prompts(
        [given]
    )
    assert tokenizer_of("bytes").decode(prompt.ids) == "last turn\n"
    assert prompt.is_cut and prompt.length == len(given.prompt)
    [laid] = layout("bytes", shorten=turns_less, max_length=6).rows([given])
    assert laid.example.text == " answer"
    assert laid.missing == 1


def test_a_prompt_that_is_shortened_before_it_is_read_counts_as_cut() -> None:
    text = f"{'far too long ' * 100}\nlast turn\n answer"
    given = Example(
        text=text, target_spans=((len(text) - 7, len(text)),), prompt=text[:-7], ends=False
    )
    [prompt] = layout("bytes", shorten=turns_less, max_length=22, max_target_tokens=7).prompts(
        [given]
    )
    assert tokenizer_of("bytes").decode(prompt.ids) == "last turn\n"
    assert prompt.is_cut and 22 < prompt.length < len(given.prompt)


def test_a_task_is_not_asked_while_tokens_can_go() -> None:
    def refuse(_: Example) -> Example | None:
        raise AssertionError("tokens could go")

    assert lay("bytes", example(), shorten=refuse, max_length=48).is_cut
    assert lay("bytes", example(), shorten=refuse, max_length=10).missing


# Shortening by text


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        "storm",
        "ab",
        "x",
        "two words",
        " padded  words here ",
        "line\nby\nline",
        "雨 が 🌧 降る",
    ],
)
def test_cut_tail_shortens_strictly_and_ends(data: str) -> None:
    given: Example | None = example(data, before="<a>", after="\nEnd")
    assert given is not None
    target, num_steps = given.target, 0
    while given is not None:
        before = given
        given = cut_tail(before)
        if given is None:
            break
        num_steps += 1
        assert num_steps <= len(data)
        assert given.cut_span is not None and before.cut_span is not None
        kept = given.text[slice(*given.cut_span)]
        shorter = before.text[slice(*before.cut_span)]
        assert kept.strip()
        assert len(kept) < len(shorter)
        assert shorter.startswith(kept)
        # All around it is as it was, and so is what the spans spell.
        assert given.text == f"<a>{kept}\nTL;DR: {ANSWER}\nEnd"
        assert given.prompt == f"<a>{kept}\nTL;DR:"
        assert given.target == target
        assert [given.text[slice(*span)] for span in given.literal_spans] == [kept, ANSWER]
        assert given.literals_of_prompt == (given.cut_span,)
    assert (num_steps > 0) == (len(data.strip()) > 1)


def test_cut_tail_cuts_between_words() -> None:
    given = cut_tail(example("the storm left two towns"))
    assert given is not None and given.cut_span is not None
    assert given.text[slice(*given.cut_span)] == "the storm left two"


def test_the_beginning_gives_way_where_an_example_says_so() -> None:
    """By tokens, as far as it must, and by words, at the same end."""
    given = example("ones two three four five six", cut_start=True)
    whole = lay("byte_level", given)
    laid = lay("byte_level", given, max_length=len(whole.ids) - 3)
    text = tokenizer_of("byte_level").decode(laid.ids)
    assert laid.is_cut and text.startswith("Summary:") and "five six\nTL;DR:" in text
    assert "ones" not in text
    assert laid.is_target.sum() == whole.is_target.sum()
    shorter = cut_tail(given)
    assert shorter is not None
    assert shorter.text == f"Summary: two three four five six\nTL;DR: {ANSWER}"
    assert shorter.prompt == "Summary: two three four five six\nTL;DR:"
    assert shorter.target == given.target and shorter.inputs == ("two three four five six",)


def test_cut_tail_moves_spans_on_both_sides() -> None:
    """A chat in the middle of which something gives way; its prompt ends otherwise."""
    text = "Storm: a\nNote: one two three four\nStorm: b\n"
    cut = (text.index("one"), text.index("\nStorm: b"))
    spans = tuple((i, i + 1) for i in (text.index("a\n"), text.index("b\n")))
    given = Example(
        text=text,
        prompt=text + "Storm:",
        target_spans=spans,
        literal_spans=(spans[0], cut, spans[1]),
        prompt_literal_spans=(spans[0], cut, spans[1]),
        cut_span=cut,
    )
    shorter = cut_tail(given)
    assert shorter is not None
    assert shorter.text == "Storm: a\nNote: one two three\nStorm: b\n"
    assert shorter.prompt == shorter.text + "Storm:"
    assert shorter.target == "a\nb"
    assert shorter.literals_of_prompt == shorter.literal_spans
    assert [shorter.text[slice(*s)] for s in shorter.literal_spans] == ["a", "one two three", "b"]


def test_nothing_to_cut_is_not_cut() -> None:
    assert cut_tail(replace(example(), cut_span=None)) is None


# Choices


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "prompt", ["the storm\n\nLabel:", "the storm: the", "storm\n", "a " * 60 + "coast:"]
)
def test_choices_have_the_tokens_of_running_text(family: str, prompt: str) -> None:
    choices = (" storm", " the coast", " x", "\nTL;DR:")
    [found] = layout(family).choices([prompt], [choices])
    alone = plain(family, prompt)
    for choice, ids in zip(choices, found, strict=True):
        assert [*alone, *ids] == plain(family, prompt + choice)


@pytest.mark.parametrize("family", [f for f in FAST if f not in ("bytes", "tiny")])
def test_a_choice_that_melts_into_the_prompt_is_tokenised_by_itself(family: str) -> None:
    made = layout(family)
    prompt, choices = "the stor", ("m", " coast")
    [(melted, apart)] = made.choices([prompt], [choices])
    assert plain(family, "the storm")[: len(plain(family, prompt))] != plain(family, prompt)
    assert tokenizer_of(family).decode(melted).strip() == "m"
    assert tokenizer_of(family).decode(apart).strip() == "coast"
    [alone] = TextEncoder(tokenizer_of(family), tokenizer_id=family).following(["m"])
    assert melted.tolist() == alone.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_special_token_in_a_choice_is_plain_text(family: str) -> None:
    tokenizer = tokenizer_of(family)
    [[ids]] = layout(family).choices(["Label:"], [(f" {tokenizer.eos_token}",)])
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids).strip() == tokenizer.eos_token


# Examples by themselves


def test_what_an_example_reads_and_what_it_learns() -> None:
    given = example("a storm", "the coast", after="\nEnd")
    assert given.target == " the coast\nEnd"
    assert given.inputs == ("a storm",)
    assert given.literals_of_prompt == (given.cut_span,)
    prefix = replace(given, prompt=given.text[:12])
    assert prefix.literals_of_prompt == ((9, 12),)
