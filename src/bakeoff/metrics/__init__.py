"""How answers are scored: what a metric is, those that there are, and how they are found."""

from bakeoff.metrics.registry import (
    METRIC_NAMES,
    MetricFactory,
    metric_names,
    metric_of,
    register_metric,
)
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer, rouge_scores
from bakeoff.metrics.sentences import lead, split_sentences

__all__ = [
    "METRIC_NAMES",
    "ROUGE_KEYS",
    "MetricFactory",
    "PendingScores",
    "RougeScorer",
    "lead",
    "metric_names",
    "metric_of",
    "register_metric",
    "rouge_scores",
    "split_sentences",
]
