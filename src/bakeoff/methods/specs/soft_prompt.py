"""The options of soft prompts, and what describes the method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bakeoff.methods.specs.contract import FileFormat, MethodSpec


@dataclass(frozen=True, kw_only=True)
class FromAdapter:
    """A soft prompt that another training left."""

    adapter: Path
    """A folder with PEFT's files of prompt tuning, from the working directory."""


@dataclass(frozen=True, kw_only=True)
class SoftPromptOptions:
    """Options of soft prompts."""

    prompt_length: int = 12
    """How many vectors are put before the tokens."""
    init: str | FromAdapter = "vocabulary"
    """``vocabulary``: embeddings of random tokens; ``random``: normal numbers of the embedding's
    own spread; any other text: its tokens' embeddings; ``{adapter: FOLDER}``: the vectors of
    another soft prompt. Tokens or vectors that are too many are cut off at the end, and those that
    are too few are repeated from the start."""


SPEC: Final = MethodSpec(
    kind="soft_prompt",
    method="bakeoff.methods.prompts.soft_prompt:SoftPrompt",
    stack="bakeoff.methods.prompts.soft_prompt:SoftPromptStack",
    title="trained vectors in front of the embedded tokens",
    paper="Lester et al. 2021, arXiv:2104.08691",
    formula="prompt_length x embedding width",
    options_type=SoftPromptOptions,
    default_learning_rate=5e-2,
    learning_rate_source=(
        "between Lester et al. 2021, section 3 (0.3 with Adafactor) and PEFT's examples (3e-2)"
    ),
    file_format=FileFormat.PEFT,
    mergeable=False,
)
