"""Metrics of generated text, and the sentences that they are computed over."""

from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer, rouge_scores
from bakeoff.metrics.sentences import lead, split_sentences

__all__ = [
    "ROUGE_KEYS",
    "PendingScores",
    "RougeScorer",
    "lead",
    "rouge_scores",
    "split_sentences",
]
