"""An audit as a page: one file that asks nothing of the network."""

from __future__ import annotations

from bakeoff.audits import wording
from bakeoff.audits.figures import change_figure, ranking_figure
from bakeoff.audits.findings import Audit
from bakeoff.page.frame import frame, make_environment


def build_page(audit: Audit) -> str:
    """The whole page. Text from the files is escaped by Jinja; figures are drawn here."""
    rankings = [*audit.rankings, *audit.together]
    return (
        make_environment("bakeoff.audits")
        .get_template("audit.html.j2")
        .render(
            **frame("report.js"),
            audit=audit,
            words=wording,
            rankings=[(r, ranking_figure(r, f"ranking{i}")) for i, r in enumerate(rankings)],
            repeats=[(r, change_figure(r, f"change{i}")) for i, r in enumerate(audit.repeats)],
            rests_on=wording.rests_on(audit),
            missing=wording.not_published(audit),
        )
    )
