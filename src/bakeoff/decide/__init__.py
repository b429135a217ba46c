"""What may be said of methods that were scored on the same rows, and which of them to use.

Needs numpy and scipy alone, and knows nothing of studies: scores go in, verdicts come out. scipy is
imported where a probability is first computed.
"""

from bakeoff.decide.compare import compare
from bakeoff.decide.components import Components, components_of
from bakeoff.decide.influence import Influence, of_means, of_ratios, of_sums, sum_groups
from bakeoff.decide.judging import judge_methods
from bakeoff.decide.margin import default_margin, verdicts_by_margin
from bakeoff.decide.needs import Needs
from bakeoff.decide.question import Question
from bakeoff.decide.result import Comparison, Fallback, Judgement, Recommendation

__all__ = [
    "Comparison",
    "Components",
    "Fallback",
    "Influence",
    "Judgement",
    "Needs",
    "Question",
    "Recommendation",
    "compare",
    "components_of",
    "default_margin",
    "judge_methods",
    "of_means",
    "of_ratios",
    "of_sums",
    "sum_groups",
    "verdicts_by_margin",
]
