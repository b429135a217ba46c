from __future__ import annotations

import pytest

from bakeoff.data.template import Filled, Template
from bakeoff.errors import ConfigError

GOOD = "{document}\n\nTL;DR: {summary}"


def parsed(text: str, *inputs: str) -> Template:
    return Template.parse(text, inputs=inputs or ("document",), target="summary", example=GOOD)


def test_white_space_before_the_answer_is_learnt_with_it() -> None:
    template = parsed(GOOD)
    assert template == Template(pieces=("", "\n\nTL;DR: ", ""), fields=("document", "summary"))
    assert template.fill({"document": "A storm.", "summary": "Storm."}) == Filled(
        text="A storm.\n\nTL;DR: Storm.",
        spans={"document": (0, 8), "summary": (17, 23)},
        prompt_end=16,
    )
    assert template.answer("Storm.") == " Storm."


def test_all_pieces() -> None:
    template = parsed("Read:\n{document}\n\n{summary}\nEnd")
    filled = template.fill({"document": "a", "summary": "b"})
    assert filled.text == "Read:\na\n\nb\nEnd"
    assert filled.spans == {"document": (6, 7), "summary": (9, 10)}
    # There is nothing between but white space.
    assert filled.text[: filled.prompt_end] == "Read:\na"
    assert template.answer("b") == "\n\nb\nEnd"


def test_the_end_of_data_is_never_taken_for_white_space_of_the_template() -> None:
    filled = parsed("{document}\n{summary}").fill({"document": "a  ", "summary": "b"})
    assert filled.text[: filled.prompt_end] == "a  "


def test_without_an_answer_there_is_the_prompt() -> None:
    template = parsed("Read: {document}\nTL;DR: {summary} End")
    whole = template.fill({"document": "a", "summary": "b"})
    prompt = template.fill({"document": "a"})
    assert prompt.text == whole.text[: whole.prompt_end] == "Read: a\nTL;DR:"
    assert prompt.prompt_end == len(prompt.text)
    assert prompt.spans == {"document": (6, 7)}


def test_values_may_hold_braces_and_names_of_fields() -> None:
    filled = parsed(GOOD).fill({"document": "{summary} {x}", "summary": "{document}"})
    assert filled.text == "{summary} {x}\n\nTL;DR: {document}"
    assert [filled.text[slice(*span)] for span in filled.spans.values()] == [
        "{summary} {x}",
        "{document}",
    ]


def test_several_inputs_come_in_the_template_s_order() -> None:
    template = parsed("{title}: {document} = {summary}", "document", "title")
    filled = template.fill({"document": "a", "title": "b", "summary": "c"})
    assert filled.text == "b: a = c"
    assert filled.spans == {"title": (0, 1), "document": (3, 4), "summary": (7, 8)}
    assert filled.text[: filled.prompt_end] == "b: a ="


def test_other_columns_may_stand_before_the_answer() -> None:
    template = parsed("{title}\n{document}{a b} = {summary}")
    assert template.fields == ("title", "document", "a b", "summary")
    filled = template.fill({"title": "t", "document": "d", "a b": "ab", "summary": "s"})
    assert filled.text == "t\ndab = s"
    assert filled.spans == {"title": (0, 1), "document": (2, 3), "a b": (3, 5), "summary": (8, 9)}


def test_doubled_braces_are_braces() -> None:
    template = parsed('{{{document}}} }}{{ {{"a": {summary}}}')
    assert template.pieces == ("{", '} }{ {"a": ', "}")
    filled = template.fill({"document": "{x}", "summary": "}}"})
    assert filled.text == '{{x}} }{ {"a": }}}'
    assert template.answer("}}") == " }}}"


@pytest.mark.parametrize(
    "text", ["{{{{", "}}{{", "{{a}}", "{{{{{{x", "a{{b}}c{{d}}", "\\{{0!r:>{{9}}}}%s$x"]
)
def test_anything_may_stand_in_the_fixed_text(text: str) -> None:
    template = parsed(f"{text}{{document}}{text}x{{summary}}{text}")
    plain = text.replace("{{", "{").replace("}}", "}")
    assert template.pieces == (plain, f"{plain}x", plain)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("TL;DR: {summary}", "{document} 0 times"),
        ("{document} TL;DR:", "{summary} 0 times"),
        ("{document}{document}{summary}", "{document} 2 times"),
        ("{document}{summary}{summary}", "{summary} 2 times"),
        ("{summary} of {document}", "comes before"),
        ("{document} {title} {title} {summary}", "{title} 2 times"),
        ("{document} {summary} {title}", "{summary} comes before {title}"),
        ("{{document}} {summary}", "{document} 0 times"),
        ("} {document} {summary}", "'}' at character 1"),
        ("{document} {{ { {summary}", "'{' at character 15"),
        ("{document} {} {summary}", "'{}' at character 12"),
        ("", "{document} 0 times"),
    ],
)
def test_broken_templates(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=r"task\.template") as caught:
        parsed(text)
    assert rule in str(caught.value)
