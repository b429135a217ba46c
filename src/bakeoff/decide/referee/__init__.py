"""What may be said of methods that were scored on the same rows, and which of them to use.

Needs numpy and scipy alone, and knows nothing of studies: scores go in, verdicts come out. scipy is
imported where a probability is first computed.
"""

from bakeoff.decide.referee.compare import compare
from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.influence import Influence, of_means, of_ratios, of_sums, sum_groups
from bakeoff.decide.referee.judging import judge_methods
from bakeoff.decide.referee.looks import NOTHING_SAID, Standing, look, look_alphas, wants_seeds
from bakeoff.decide.referee.margin import default_margin, verdicts_by_margin
from bakeoff.decide.referee.needs import Needs
from bakeoff.decide.referee.power import Power, pair_power, typical_spread
from bakeoff.decide.referee.question import Question
from bakeoff.decide.referee.result import Comparison, Fallback, Judgement, Recommendation

__all__ = [
    "NOTHING_SAID",
    "Comparison",
    "Components",
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
    "default_margin",
    "judge_methods",
    "look",
    "look_alphas",
    "of_means",
    "of_ratios",
    "of_sums",
    "pair_power",
    "sum_groups",
    "typical_spread",
    "verdicts_by_margin",
    "wants_seeds",
]
