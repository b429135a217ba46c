"""Audits of results that others published: which of their rankings stand.

Readers (a file for each format) make runs, runs make rankings, rankings are tested by the referee's
rules, and what is found is put into words, JSON or a page. Loads no library that trains.
"""

from bakeoff.audits.auditing import audit
from bakeoff.audits.findings import Audit, RankingFinding, RepeatFinding

__all__ = ["Audit", "RankingFinding", "RepeatFinding", "audit"]
