"""ROUGE, intervals, comparisons and peak memory."""

from bakeoff.metrics.intervals import Interval, bootstrap_interval
from bakeoff.metrics.memory import PeakMemory
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer, rouge_scores
from bakeoff.metrics.sentences import lead, split_sentences
from bakeoff.metrics.significance import Comparison, compare_methods

__all__ = [
    "ROUGE_KEYS",
    "Comparison",
    "Interval",
    "PeakMemory",
    "PendingScores",
    "RougeScorer",
    "bootstrap_interval",
    "compare_methods",
    "lead",
    "rouge_scores",
    "split_sentences",
]
