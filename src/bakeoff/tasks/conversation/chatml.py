"""ChatML, for bases without a chat template of their own.

Tools and calls are laid out as Hermes and Qwen 2.5 do.
"""

from __future__ import annotations

import json
from typing import Final

IM_END: Final = "<|im_end|>"

TOOLS_TEXT: Final = (
    "# Tools\n\nYou may call one or more functions. Their signatures are:\n<tools>\n{tools}\n"
    "</tools>\n\nWrite each call as a JSON object in its own tags:\n<tool_call>\n"
    '{{"name": <function name>, "arguments": <arguments>}}\n</tool_call>'
)
"""What the system message says of tools; ``{tools}`` is one of them a line."""

_TEMPLATE: Final = """{%- set end_of_turn = END_OF_TURN %}
{%- set first = 0 %}
{%- if messages[0].role == 'system' or tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {%- set first = 1 %}
        {{- messages[0].content }}
        {%- if tools %}{{- '\\n\\n' }}{%- endif %}
    {%- endif %}
    {%- if tools %}
        {{- TOOLS_HEAD }}
        {%- for tool in tools %}
            {{- tool | tojson }}
            {%- if not loop.last %}{{- '\\n' }}{%- endif %}
        {%- endfor %}
        {{- TOOLS_TAIL }}
    {%- endif %}
    {{- end_of_turn + '\\n' }}
{%- endif %}
{%- for message in messages[first:] %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content %}{{- message.content }}{%- endif %}
    {%- for call in message.tool_calls or [] %}
        {%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
        {{- '<tool_call>\\n{"name": ' + call.function.name | tojson + ', "arguments": ' }}
        {{- call.function.arguments | tojson + '}\\n</tool_call>' }}
    {%- endfor %}
    {{- end_of_turn + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def chatml_text(end_of_turn: str = IM_END) -> str:
    """The template.

    Args:
        end_of_turn: what ends a turn; a token of the base, since generation cannot end at what is
            spelt in several.
    """
    head, tail = TOOLS_TEXT.format(tools="\0").split("\0")
    found = _TEMPLATE
    for name, text in (("END_OF_TURN", end_of_turn), ("TOOLS_HEAD", head), ("TOOLS_TAIL", tail)):
        found = found.replace(name, json.dumps(text))  # as Jinja reads texts too
    return found
