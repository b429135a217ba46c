"""Chat templates of the shapes that bases come with, and tokenizers that have their tokens."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tests.tokenizer_families import train_tokenizer

CHATML: Final = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

LLAMA3: Final = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}
{{- system_message + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

MISTRAL: Final = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] + '\\n\\n' %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
{%- endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate between user and assistant') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + (system_message if loop.first else '') + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}"""

GEMMA: Final = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}
{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}
{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

TAGGED: Final = """{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
            {{- message['content'] + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- message['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

_THINKING: Final = """{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- set text = message['content'] %}
        {%- if not loop.last %}{%- set text = text.split('</think>')[-1].lstrip() %}{%- endif %}
        {%- generation %}{{- text + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}
    {%- else %}
        {{- message['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

THINKING_TAGGED: Final = _THINKING
THINKING: Final = _THINKING.replace("{%- generation %}", "").replace("{%- endgeneration %}", "")

LED: Final = TAGGED.replace(
    "{{- message['content']", "{{- '<think>\\n\\n</think>\\n\\n' + message['content']"
)
"""As Qwen3's, which writes empty thoughts before an answer that has none."""

PLAIN: Final = """{% for message in messages %}{{ message['role'] | capitalize + ': ' }}
{{- message['content'] + '\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"""

SHAPES: Final = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "tagged": TAGGED,
    "thinking": THINKING,
    "thinking_tagged": THINKING_TAGGED,
    "plain": PLAIN,
}
WITHOUT_SYSTEM: Final = ("gemma",)
ENDS: Final = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "mistral": "<|endoftext|>",
    "gemma": "<end_of_turn>",
    "tagged": "<|im_end|>",
    "thinking": "<|im_end|>",
    "thinking_tagged": "<|im_end|>",
    "plain": "",
}
"""What ends an assistant's turn."""

_TOKENS: Final = (
    *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
)


@cache
def chat_tokenizer(shape: str | None, *, bos: bool = False) -> Any:
    """A byte-level tokenizer with the special tokens of all shapes, and the template of one."""
    tokenizer: Any = train_tokenizer(bos=bos)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_TOKENS)})
    tokenizer.chat_template = None if shape is None else SHAPES[shape]
    return tokenizer
