"""``references.bib``: the methods, metrics and tests of this very study.

Only what the code itself states is written: authors as they are named there, the year, the number
at arXiv, and a title where it is given. Complete the entries from the papers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.methods.registry import spec_of
from bakeoff.report.paper.latex import escaped
from bakeoff.report.paper.protocol import main_comparisons, raises_variances
from bakeoff.runs.records import MetricRecord, Results
from bakeoff.runs.settings import setting

_NAME: Final = r"[A-Z\u00c0-\u00de][\w'’-]*"
_CITED: Final = re.compile(
    rf"(?P<who>(?:{_NAME} )*{_NAME}(?: et al\.| & {_NAME}| and {_NAME})?) (?P<year>(?:19|20)\d\d)"
    r"(?:, \"(?P<title>[^\"]+)\")?(?:, arXiv:(?P<arxiv>\d{4}\.\d{4,5})|, (?P<site>github\.com/\S+?)"
    r"(?=;|$))?"
)
_HARNESS: Final = "lm-evaluation-harness"
_LIN: Final = 'Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"'
_SQUAD: Final = "Rajpurkar et al. 2018, arXiv:1806.03822"
_POST: Final = 'Post 2018, "A Call for Clarity in Reporting BLEU Scores", arXiv:1804.08771'
_OF_METRICS: Final = {
    "rouge": _LIN,
    "bleu": _POST,
    "chrf": f'{_POST}; Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"',
    "exact_match": _SQUAD,
    "f1": _SQUAD,
    "mcc": 'Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation '
    'coefficient"',
    "brier": 'Brier 1950, "Verification of forecasts expressed in terms of probability"',
}
"""As the metrics' own code cites them; a name that begins with the key counts."""
_HOLM: Final = 'Holm 1979, "A simple sequentially rejective multiple test procedure"'
_SCHUIRMANN: Final = 'Schuirmann 1987, "A comparison of the two one-sided tests procedure"'
_SMYTH: Final = 'Smyth 2004, "Linear models and empirical Bayes methods"'
_HALVING: Final = 'Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"'
_RANDOM: Final = 'Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"'


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One entry; a field that is not known is None.

    Attributes:
        key: for ``\\cite``. author: names with ``and`` between, ``others`` for the rest.
        title, year, arxiv, url, note: as they are written, before escaping.
    """

    key: str
    author: str | None = None
    year: str | None = None
    title: str | None = None
    arxiv: str | None = None
    url: str | None = None
    note: str | None = None


def cited(results: Results) -> dict[str, list[str]]:
    """By what is referred to (a method, a metric, a test), the keys of its entries."""
    return {what: [entry.key for entry in entries] for what, entries in _all(results).items()}


def bibliography(results: Results) -> str:
    """The whole file; an entry for each source, once."""
    entries = {entry.key: entry for found in _all(results).values() for entry in found}
    head = (
        "% References of this study: methods, metrics and tests that took part in it.\n"
        "% Authors and titles are given as far as bakeoff states them; complete them from the\n"
        "% papers.\n"
    )
    return head + "".join(f"\n{_entry(entries[key])}" for key in sorted(entries))


def references_in(text: str) -> list[Reference]:
    """What a line such as ``Hu et al. 2021, arXiv:2106.09685; ...`` refers to."""
    found = []
    for match in _CITED.finditer(text):
        if not any(match[name] for name in ("title", "arxiv", "site")):
            continue
        who, year = match["who"], match["year"]
        first = re.split(r" et al\.| & | and ", who)[0]
        arxiv, site = match["arxiv"], match["site"]
        found.append(
            Reference(
                key=f"{_ascii(first)}{year}{'' if arxiv is None else f'-{arxiv}'}",
                author=_authors(who),
                year=year,
                title=match["title"],
                arxiv=arxiv,
                url=f"https://{site}" if site else None,
            )
        )
    return found


def _all(results: Results) -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {}
    for what, entries in (*_methods(results), *_metrics(results), *_tests(results)):
        if entries:
            found.setdefault(what, []).extend(e for e in entries if e not in found.get(what, ()))
    software = _software(results)
    return {**found, "software": software}


def _methods(results: Results) -> Iterator[tuple[str, list[Reference]]]:
    for name, record in results.methods.items():
        try:
            spec = spec_of(record.kind, where=f"methods.{name}.kind")
        except ConfigError:  # of a package that is not here any more
            continue
        yield name, references_in(spec.paper)


def _metrics(results: Results) -> Iterator[tuple[str, list[Reference]]]:
    metrics = [*results.task.metrics]
    metrics += [metric for found in results.also_test.values() for metric in found.metrics]
    for metric in metrics:
        stated = next((t for k, t in _OF_METRICS.items() if _is_of(metric, k)), "")
        yield metric.title, [*references_in(stated), *_library(metric)]


def _is_of(metric: MetricRecord, key: str) -> bool:
    return metric.name.startswith(key) if key == "rouge" else metric.name == key


def _library(metric: MetricRecord) -> list[Reference]:
    """The library of a metric's signature, whose settings are the note."""
    signature = metric.signature
    if signature.startswith("rouge_score "):
        library, _, settings = signature.partition(", ")
    elif signature.startswith("sacrebleu "):
        version = re.search(r"version:([\w.]+)", signature)
        library, settings = f"sacrebleu {version[1] if version else ''}".rstrip(), signature
    elif signature.startswith("jsonschema "):
        library, _, settings = signature.partition(", ")
    elif _HARNESS in signature:
        library, settings = _HARNESS, signature
    else:
        return []
    key = _ascii(f"{library.partition(' ')[0]}-{metric.name}")
    return [Reference(key=key, title=library, note=f"{metric.title}: {settings}")]


def _tests(results: Results) -> Iterator[tuple[str, list[Reference]]]:
    pairs = main_comparisons(results)
    if pairs and (results.decision is None or any(pair.why is None for pair in pairs)):
        yield "correction over pairs", references_in(_HOLM)
        if any(pair.margin is not None for pair in pairs):
            yield "equivalence", references_in(_SCHUIRMANN)
        if results.decision is not None and raises_variances(results):
            yield "variances from seed to seed", references_in(_SMYTH)
    if setting(results.study, "search.pruner") == "halving":
        yield "successive halving", references_in(_HALVING)
    if setting(results.study, "search.strategy") == "random":
        yield "random search", references_in(_RANDOM)


def _software(results: Results) -> list[Reference]:
    where = results.environment
    versions = {
        "bakeoff": where.bakeoff,
        "torch": where.torch,
        "transformers": where.transformers,
        "peft": where.peft,
    }
    return [
        Reference(key=f"software-{name}", title=f"{name} {version}")
        for name, version in versions.items()
        if version
    ]


def _authors(who: str) -> str:
    names = re.split(r" & | and ", who.removesuffix(" et al."))
    braced = [f"{{{escaped(name)}}}" for name in names]
    return " and ".join([*braced, *(["others"] if who.endswith(" et al.") else [])])


def _entry(entry: Reference) -> str:
    fields = {
        "author": entry.author,
        # What BibTeX sorts by where there is no author.
        "key": None if entry.author or entry.title is None else f"{{{escaped(entry.title)}}}",
        "title": None if entry.title is None else f"{{{escaped(entry.title)}}}",
        "year": entry.year,
        "eprint": entry.arxiv,
        "archivePrefix": None if entry.arxiv is None else "arXiv",
        "url": f"https://arxiv.org/abs/{entry.arxiv}" if entry.arxiv else entry.url,
        "note": None if entry.note is None else escaped(entry.note),
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value is not None]
    return f"@misc{{{entry.key},\n" + ",\n".join(lines) + "\n}\n"


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]", "", plain).lower()
