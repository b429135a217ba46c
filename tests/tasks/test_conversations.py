"""Conversations for templates that have no place for tools."""

from __future__ import annotations

from bakeoff.tasks.conversation.conversations import Conversation, tools_as_text

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "A storm?"}


def test_tools_are_described_below_what_the_system_says_already() -> None:
    talk = Conversation(messages=(SYSTEM, ASKED), tools=({"name": "look"}, {"name": "ask"}))
    shown = tools_as_text(talk, "Tools:\n{tools}")
    described = 'Tools:\n{"name": "look"}\n{"name": "ask"}'
    assert shown.messages == ({**SYSTEM, "content": f"Be brief.\n\n{described}"}, ASKED)
    assert shown.tools == ()
