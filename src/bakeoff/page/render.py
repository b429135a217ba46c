"""From a chart to a figure of a page."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.page.charts import Spec, themed
from bakeoff.page.figure import Figure


def render(
    chart: Spec,
    *,
    name: str,
    group: str,
    title: str,
    caption: str,
    alt: str,
    panels: Sequence[tuple[Spec, str]] = (),
) -> Figure:
    """A chart in the page's look, with its words; it is drawn when a form of it is asked for.

    Args:
        chart: The whole figure.
        name: Of its files. group: Where it is on the page. title, caption: Above it.
        alt: What someone who does not see it should know.
        panels: The figure in parts, each with its words, for a page that lets them flow; without
            any the page shows the whole.
    """
    return Figure(
        name=name,
        group=group,
        title=title,
        caption=caption,
        alt=alt,
        spec=themed(chart),
        panels=tuple((themed(part), words) for part, words in panels),
    )
