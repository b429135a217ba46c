from __future__ import annotations

import pytest

from bakeoff.data.template import Template
from bakeoff.errors import ConfigError


def test_white_space_before_the_summary_goes_to_the_completion() -> None:
    template = Template.parse("{document}\n\nTL;DR: {summary}")
    assert template == Template(prefix="", middle="\n\nTL;DR:", lead=" ", suffix="")


def test_all_pieces() -> None:
    template = Template.parse("Read:\n{document}\n\n{summary}\nEnd")
    assert template == Template(prefix="Read:\n", middle="", lead="\n\n", suffix="\nEnd")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("TL;DR: {summary}", "{document} 0 times"),
        ("{document} TL;DR:", "{summary} 0 times"),
        ("{document}{document}{summary}", "{document} 2 times"),
        ("{document}{summary}{summary}", "{summary} 2 times"),
        ("{summary} of {document}", "comes before"),
        ("{document} {title} {summary}", "'{'"),
        ("{{document}} {summary}", "'{'"),
        ("} {document} {summary}", "'}'"),
        ("", "{document} 0 times"),
    ],
)
def test_broken_templates(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=r"task\.template") as caught:
        Template.parse(text)
    assert rule in str(caught.value)
