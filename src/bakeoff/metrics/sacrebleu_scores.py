"""BLEU and chrF of the whole set, by sacrebleu's counts of each text.

Sources: Post 2018, "A Call for Clarity in Reporting BLEU Scores" (arXiv:1804.08771); Popović 2015,
"chrF: character n-gram F-score for automatic MT evaluation". Values are in 0..100, as sacrebleu
prints them.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import BaseMetric, references_of
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs
from bakeoff.metrics.rouge_tokens import share_without_spaces

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

_LOG = logging.getLogger(__name__)
_BLEU_ORDER: Final = 4


class Tokenize(StrEnum):
    """sacrebleu's tokenizers that need nothing else installed."""

    V13A = "13a"
    INTL = "intl"
    ZH = "zh"
    CHAR = "char"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class BleuOptions:
    """Options of ``bleu``.

    Attributes:
        tokenize: ``13a`` for languages with spaces between words, ``zh`` for Chinese, ``char`` for
            others without spaces. lowercase: whether case makes no difference.
    """

    tokenize: Tokenize = Tokenize.V13A
    lowercase: bool = False


@dataclass(frozen=True, kw_only=True)
class ChrfOptions:
    """Options of ``chrf``.

    Attributes:
        word_order: 2 makes it chrF++. lowercase: whether case makes no difference.
    """

    word_order: int = 0
    lowercase: bool = False

    def __post_init__(self) -> None:
        if self.word_order < 0:
            raise ValueError("word_order: must not be negative; 0 is chrF, 2 is chrF++")


class SacrebleuMetric(BaseMetric):
    """Sums of counts, of which sacrebleu makes its score."""

    unit = ""
    asks = Ask.TEXT
    default_margin = 1.0
    needs = ("texts",)
    columns: int

    @property
    @abstractmethod
    def library(self) -> BLEU | CHRF:
        """sacrebleu's own metric."""

    @property
    def signature(self) -> str:
        """sacrebleu's own; ``nrefs`` is that of the texts scored last, 1 before there are any."""
        if not hasattr(self.library, "num_refs"):
            self.library.num_refs = 1
        return f"sacrebleu {self.title}|{self.library.get_signature()}"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """[N, C] of counts."""
        assert outputs.texts is not None
        references_N = references_of(examples, self.name)
        if not references_N:
            return np.zeros((0, self.columns), dtype=np.int32)
        most = max(map(len, references_N))
        streams = [
            [several[place] if place < len(several) else None for several in references_N]
            for place in range(most)
        ]
        counts = self.library._extract_corpus_statistics(list(outputs.texts), streams)  # type: ignore[arg-type]
        return np.array(counts, dtype=np.int32)

    def value(self, sums: NDArray[Any]) -> Floats:
        """[..., C] counts to [...], one by one and by the library, to its last digit."""
        flat = np.asarray(sums, dtype=np.float64).reshape(-1, self.columns)
        values = [self._value(row) if any(row) else np.nan for row in flat.tolist()]
        return np.array(values, dtype=np.float64).reshape(sums.shape[:-1])

    @abstractmethod
    def _value(self, counts: list[float]) -> float:
        """The score of one set's counts."""


class Bleu(SacrebleuMetric):
    """BLEU of the whole set, up to four words; of a single text it says little."""

    name = "bleu"
    title = "BLEU"
    by_row = False
    columns = 2 + 2 * _BLEU_ORDER

    def __init__(self, options: BleuOptions) -> None:
        self.options = options

    @cached_property
    def library(self) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        # force: no advice to detokenize on standard error
        return BLEU(
            tokenize=self.options.tokenize.value, lowercase=self.options.lowercase, force=True
        )

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        if self.options.tokenize in (Tokenize.V13A, Tokenize.INTL):
            texts = "".join(example.references[0] for example in examples if example.references)
            if share_without_spaces(texts) > 0.5:
                _LOG.warning(
                    "metric bleu: most references are written without spaces, so that tokenize: "
                    "%s takes a sentence for a word; use zh for Chinese, char for others",
                    self.options.tokenize.value,
                )
        return super()._statistics(outputs, examples)

    def _value(self, counts: list[float]) -> float:
        library = self.library
        return float(
            library.compute_bleu(
                counts[2 : 2 + _BLEU_ORDER],  # type: ignore[arg-type]
                counts[2 + _BLEU_ORDER :],  # type: ignore[arg-type]
                int(counts[0]),
                int(counts[1]),
                smooth_method=library.smooth_method,
            ).score
        )


class Chrf(SacrebleuMetric):
    """chrF, or chrF++ with words, of the whole set."""

    name = "chrf"
    title = "chrF"

    def __init__(self, options: ChrfOptions) -> None:
        self.options = options
        self.title = "chrF" + "+" * options.word_order
        self.columns = 3 * self.library.order

    @cached_property
    def library(self) -> CHRF:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(**asdict(self.options))

    def _value(self, counts: list[float]) -> float:
        return float(self.library._compute_f_score(counts))  # type: ignore[arg-type]


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    from bakeoff.config import from_mapping

    path = f"metrics.{name}"
    if name == Bleu.name:
        return Bleu(from_mapping(BleuOptions, options, path=path))
    return Chrf(from_mapping(ChrfOptions, options, path=path))
