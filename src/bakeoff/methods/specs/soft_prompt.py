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
class FromLabels:
    """A soft prompt that starts at class labels."""

    labels: tuple[str, ...]
    """Words or texts, tokenized as they stand: where labels follow a space in the rows, as in
    ``Label: world``, most tokenizers have another token for `` world``."""


@dataclass(frozen=True, kw_only=True)
class SoftPromptOptions:
    """Options of soft prompts."""

    prompt_length: int = 20
    """How many vectors are put before the tokens."""
    init: str | FromAdapter | FromLabels = "vocabulary"
    """``vocabulary``: embeddings of random tokens; ``random``: normal numbers of the embedding's
    own spread; any other text: its tokens' embeddings; ``{adapter: FOLDER}``: the vectors of
    another soft prompt. Tokens or vectors that are too many are cut off at the end, and those that
    are too few are repeated from the start. ``{labels: [world, sports]}``: for each label the mean
    of its tokens' embeddings, the rest as ``vocabulary``."""


SPEC: Final = MethodSpec(
    kind="soft_prompt",
    method="bakeoff.methods.prompts.soft_prompt:SoftPrompt",
    stack="bakeoff.methods.prompts.soft_prompt:SoftPromptStack",
    title="trained vectors in front of the embedded tokens",
    paper="Lester et al. 2021, arXiv:2104.08691",
    formula="prompt_length x embedding width",
    options_type=SoftPromptOptions,
    default_learning_rate=3e-2,
    learning_rate_source=(
        "PEFT's examples of prompt tuning; 3e-3 from 1 billion on, as its method comparison has "
        "1e-3 at 3 billion; Lester et al. 2021, section 3, have 0.3 with Adafactor"
    ),
    rates_by_size=(3e-2, 3e-3, 3e-3, 3e-3),
    option_sources={
        "prompt_length": "Lester et al. 2021, figure 3: 20 do nearly as well as 100",
        "init": "Lester et al. 2021, section 3.2, which has class labels too; PEFT's method "
        "comparison: 0.343 against 0.234 from random numbers",
    },
    file_format=FileFormat.PEFT,
    mergeable=False,
)
