"""The layout of one example, split into the pieces that are tokenised one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError

_DOCUMENT: Final = "{document}"
_SUMMARY: Final = "{summary}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """An example's text is ``prefix + document + middle + lead + summary + suffix``.

    The prompt ends with ``middle``; the completion begins with ``lead``. White space before the
    summary is in ``lead``, because byte-pair vocabularies hold words with the space in front: a
    prompt that ends in a space asks the model for a token that it never saw there.
    """

    prefix: str
    middle: str
    lead: str
    suffix: str

    @classmethod
    def parse(cls, text: str, *, path: str = "task.template") -> Template:
        """Splits a template.

        Args:
            text: holds ``{document}`` once and, after it, ``{summary}`` once; no other braces.
            path: how an error names the option.

        Raises:
            ConfigError: where the text breaks that rule.
        """
        for name in (_DOCUMENT, _SUMMARY):
            if (count := text.count(name)) != 1:
                raise ConfigError(
                    f"{path} is {text!r}: it has {name} {count} times, and must have it exactly "
                    'once. A good one is "{document}\\n\\nTL;DR: {summary}".'
                )
        prefix, rest = text.split(_DOCUMENT)
        if _SUMMARY not in rest:
            raise ConfigError(
                f"{path} is {text!r}: {_SUMMARY} comes before {_DOCUMENT}, and must come after "
                "it, because the model reads the document first. Swap them."
            )
        between, suffix = rest.split(_SUMMARY)
        for brace in "{}":
            if brace in prefix + between + suffix:
                raise ConfigError(
                    f"{path} is {text!r}: it has a {brace!r} that belongs to neither {_DOCUMENT} "
                    f"nor {_SUMMARY}. Remove it; literal braces are not possible."
                )
        middle = between.rstrip()
        return cls(prefix=prefix, middle=middle, lead=between[len(middle) :], suffix=suffix)
