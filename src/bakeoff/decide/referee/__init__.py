"""What may be said of methods that were scored on the same rows, and which of them to use.

Needs numpy and scipy alone, and knows nothing of studies: scores go in, records of verdicts come
out. scipy is imported where a probability is first computed.
"""

from bakeoff.decide.referee.compare import compare
from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.influence import (
    Influence,
    of_means,
    of_ratios,
    of_runs,
    of_sums,
    sum_groups,
)
from bakeoff.decide.referee.judging import Judgement, judge_methods, judge_pairs
from bakeoff.decide.referee.looks import NOTHING_SAID, Standing, look, look_alphas, wants_seeds
from bakeoff.decide.referee.pairs import least_margins
from bakeoff.decide.referee.power import Power, pair_power, typical_spread
from bakeoff.decide.referee.question import Question
from bakeoff.runs.decisions import Comparison, Fallback, Needs, Recommendation

__all__ = [
    "NOTHING_SAID",
    "Comparison",
    "Components",
    "Evidence",
    "Fallback",
    "Influence",
    "Judgement",
    "Needs",
    "Power",
    "Question",
    "Recommendation",
    "Standing",
    "compare",
    "components_of",
    "judge_methods",
    "judge_pairs",
    "least_margins",
    "look",
    "look_alphas",
    "of_means",
    "of_ratios",
    "of_runs",
    "of_sums",
    "pair_power",
    "sum_groups",
    "typical_spread",
    "wants_seeds",
]
