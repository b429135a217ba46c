"""``references.bib``: the methods, metrics and tests of this very study.

What is known is in ``works``; a method of another package is cited as far as its code states.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.methods.registry import spec_of
from bakeoff.report.paper.latex import escaped
from bakeoff.report.paper.protocol import main_comparisons, raises_variances
from bakeoff.report.paper.works import METHODS, METRICS, PEFT, SOFTWARE, TESTS, Work
from bakeoff.runs.records import MetricRecord, Results
from bakeoff.runs.settings import setting

_NAME: Final = r"[A-Z\u00c0-\u00de][\w'’-]*"
_CITED: Final = re.compile(
    rf"(?P<who>(?:{_NAME} )*{_NAME}(?: et al\.| & {_NAME}| and {_NAME})?) (?P<year>(?:19|20)\d\d)"
    r"(?:, \"(?P<title>[^\"]+)\")?(?:, arXiv:(?P<arxiv>\d{4}\.\d{4,5})|, (?P<site>github\.com/\S+?)"
    r"(?=;|$))?"
)
_HARNESS: Final = "lm-evaluation-harness"
_BAKEOFF: Final = (
    "bakeoff: fine-tuning methods compared under one protocol, with the certainty of the answer"
)
"""As CITATION.cff has it."""
_BAKEOFF_YEAR: Final = "2026"
_OF_METRICS: Final = {
    "rouge": ("Lin 2004",),
    "bleu": ("Post 2018",),
    "chrf": ("Post 2018", "Popovic 2015"),
    "exact_match": ("Rajpurkar 2018",),
    "f1": ("Rajpurkar 2018",),
    "macro_f1": ("Opitz 2019",),
    "mcc": ("Gorodkin 2004",),
    "brier": ("Brier 1950",),
}
"""As the metrics' own code cites them; a name that begins with ``rouge`` counts."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One entry; a field that is not known is None.

    Attributes:
        key: for ``\\cite``. author: names with ``and`` between, ``others`` for the rest.
        title, year, arxiv, url, note: as they are written, before escaping; of a known work
            author and title are LaTeX already.
        venue: the journal or the proceedings. kind: of BibTeX entry.
    """

    key: str
    author: str | None = None
    year: str | None = None
    title: str | None = None
    arxiv: str | None = None
    url: str | None = None
    note: str | None = None
    venue: str | None = None
    kind: str = "misc"


def cited(results: Results) -> dict[str, list[str]]:
    """By what is referred to (a method, a metric, a test), the keys of its entries."""
    return {what: [entry.key for entry in entries] for what, entries in _all(results).items()}


def bibliography(results: Results) -> str:
    """The whole file; an entry for each source, once."""
    entries = {entry.key: entry for found in _all(results).values() for entry in found}
    head = (
        "% References of this study: methods, metrics, tests and software that took part in it.\n"
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
        key = f"{_ascii(first)}{year}{'' if arxiv is None else f'-{arxiv}'}"
        known = METHODS.get(arxiv or "") or (PEFT if (site or "").endswith("/peft") else None)
        if known is not None:
            found.append(_of(known, key))
            continue
        found.append(
            Reference(
                key=key,
                author=_authors(who),
                year=year,
                # What an entry must have; a package of somebody else's may not say it.
                title=escaped(match["title"] or (f"arXiv:{arxiv}" if arxiv else str(site))),
                arxiv=arxiv,
                url=f"https://{site}" if site else None,
            )
        )
    return found


def _of(work: Work, key: str, note: str | None = None) -> Reference:
    return Reference(
        key=key,
        author=work.author,
        year=work.year,
        title=work.title,
        arxiv=work.arxiv,
        url=work.url,
        note=note,
        venue=work.venue,
        kind=work.kind,
    )


def _known(name: str, works: Mapping[str, Work], note: str | None = None) -> Reference:
    """A known work by its first author and year."""
    return _of(works[name], _ascii(name).lower(), note)


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
        names = next((names for k, names in _OF_METRICS.items() if _is_of(metric, k)), ())
        found = [_known(name, METRICS) for name in names]
        if _HARNESS in metric.signature:
            found.append(_known("Gao 2021", METRICS))
        yield metric.title, found


def _is_of(metric: MetricRecord, key: str) -> bool:
    return metric.name.startswith(key) if key == "rouge" else metric.name == key


def _tests(results: Results) -> Iterator[tuple[str, list[Reference]]]:
    pairs = main_comparisons(results)
    if pairs and (results.decision is None or any(pair.why is None for pair in pairs)):
        yield "correction over pairs", [_known("Holm 1979", TESTS)]
        if results.decision is not None:
            yield "degrees of freedom", [_known("Satterthwaite 1946", TESTS)]
        if any(pair.margin is not None for pair in pairs):
            yield "equivalence", [_known("Schuirmann 1987", TESTS)]
        if results.decision is not None and raises_variances(results):
            yield "variances from seed to seed", [_known("Smyth 2004", TESTS)]
    if setting(results.study, "search.pruner") == "halving":
        yield "successive halving", [_known("Li 2020", TESTS)]
    if setting(results.study, "search.strategy") == "random":
        yield "random search", [_known("Bergstra 2012", TESTS)]


def _software(results: Results) -> list[Reference]:
    where = results.environment
    versions = {
        "torch": where.torch,
        "transformers": where.transformers,
        "peft": where.peft,
    }
    found = [
        Reference(
            key="software-bakeoff",
            author="{The bakeoff contributors}",
            title=escaped(_BAKEOFF),
            year=_BAKEOFF_YEAR,
            note=f"version {where.bakeoff}",
        )
    ]
    return found + [
        _of(SOFTWARE[name], f"software-{name}", f"version {version}")
        for name, version in versions.items()
        if version
    ]


def _authors(who: str) -> str:
    names = re.split(r" & | and ", who.removesuffix(" et al."))
    braced = [f"{{{escaped(name)}}}" for name in names]
    return " and ".join([*braced, *(["others"] if who.endswith(" et al.") else [])])


def _entry(entry: Reference) -> str:
    venue = {"article": "journal", "inproceedings": "booktitle"}.get(entry.kind, "howpublished")
    fields = {
        "author": entry.author,
        "title": None if entry.title is None else f"{{{entry.title}}}",
        "year": entry.year,
        venue: entry.venue,
        "eprint": entry.arxiv,
        "archivePrefix": None if entry.arxiv is None else "arXiv",
        "url": f"https://arxiv.org/abs/{entry.arxiv}" if entry.arxiv else entry.url,
        "note": None if entry.note is None else escaped(entry.note),
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value is not None]
    return f"@{entry.kind}{{{entry.key},\n" + ",\n".join(lines) + "\n}\n"


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]", "", plain).lower()
