"""Draws the flowcharts of the pages, so that the site needs no script from elsewhere for them.

The pages hold them as Mermaid's text, which GitHub draws. What is understood is what they use:
``flowchart TD`` or ``LR``, ``id["label"]``, ``a --> b`` and ``a -->|"label"| b``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape

_NODE = r"(?P<{0}>\w+)(?:\[\"(?P<{0}_label>[^\"]*)\"\])?"
_EDGE = re.compile(
    _NODE.format("a") + r"\s*-->\s*(?:\|\"?(?P<says>[^|\"]*)\"?\|\s*)?" + _NODE.format("b") + "$"
)
_HEIGHT, _GAP, _LETTER, _PADDING = 36, 34, 7.6, 14
_BACK = 70  # room beside the boxes for an arrow that goes back


@dataclass
class _Chart:
    """Nodes by id with their labels, and arrows with what they say."""

    labels: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)
    is_across: bool = False


def drawn(text: str) -> str:
    """The chart as SVG in a block of HTML.

    Raises:
        ValueError: a line that is not understood.
    """
    chart = _read(text)
    ranks = _ranks(chart)
    boxes = _boxes(chart, ranks)
    width = max(x + w for x, _, w in boxes.values())
    height = max(y for _, y, _ in boxes.values()) + _HEIGHT
    goes_back = any(ranks[b] <= ranks[a] for a, b, _ in chart.edges)
    whole = width + 4 + _BACK * 2 * goes_back
    parts = [
        f'<div class="diagram"><svg viewBox="-2 -2 {whole:.0f} {height + 4:.0f}" role="img" '
        f'style="max-width: {whole:.0f}px" '
        f'aria-label="{escape(", ".join(chart.labels.values()))}">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker>'
        "</defs>"
    ]
    for a, b, says in chart.edges:
        parts.append(_arrow(boxes[a], boxes[b], says, chart.is_across, width))
    for name, (x, y, w) in boxes.items():
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{_HEIGHT}" rx="5" fill="none" '
            'stroke="currentColor"/>'
            f'<text x="{x + w / 2:.0f}" y="{y + _HEIGHT / 2 + 5:.0f}" text-anchor="middle" '
            f'fill="currentColor" font-size="14">{escape(chart.labels[name])}</text>'
        )
    return "".join(parts) + "</svg></div>"


def _read(text: str) -> _Chart:
    head, *lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if head not in ("flowchart TD", "flowchart LR"):
        raise ValueError(f"{head!r} is not a chart that tools/documents/diagrams.py draws")
    chart = _Chart(is_across=head.endswith("LR"))
    for line in lines:
        found = _EDGE.match(line)
        if found is None:
            raise ValueError(f"{line!r} is not an arrow that tools/documents/diagrams.py draws")
        for end in ("a", "b"):
            name = found[end]
            chart.labels[name] = found[f"{end}_label"] or chart.labels.get(name, name)
        chart.edges.append((found["a"], found["b"], found["says"] or ""))
    return chart


def _ranks(chart: _Chart) -> dict[str, int]:
    """How far down each box stands; an arrow to a box that was named before goes back."""
    order = {name: place for place, name in enumerate(chart.labels)}
    ranks = dict.fromkeys(chart.labels, 0)
    for _ in chart.labels:
        for a, b, _ in chart.edges:
            if order[b] > order[a]:
                ranks[b] = max(ranks[b], ranks[a] + 1)
    return ranks


def _boxes(chart: _Chart, ranks: dict[str, int]) -> dict[str, tuple[float, float, float]]:
    """By id: left, top and width."""
    widths = {n: len(label) * _LETTER + 2 * _PADDING for n, label in chart.labels.items()}
    rows = [
        [n for n in chart.labels if ranks[n] == rank] for rank in range(max(ranks.values()) + 1)
    ]
    boxes: dict[str, tuple[float, float, float]] = {}
    if chart.is_across:
        left = 0.0
        tallest = max(len(row) for row in rows)
        for row in rows:
            widest = max(widths[name] for name in row)
            top = (tallest - len(row)) * (_HEIGHT + _GAP / 2) / 2
            for name in row:
                boxes[name] = (left, top, widest)
                top += _HEIGHT + _GAP / 2
            left += widest + _GAP
        return boxes
    spans = [sum(widths[n] for n in row) + _GAP * (len(row) - 1) for row in rows]
    for rank, row in enumerate(rows):
        left = (max(spans) - spans[rank]) / 2
        for name in row:
            boxes[name] = (left, rank * (_HEIGHT + _GAP), widths[name])
            left += widths[name] + _GAP
    return boxes


def _arrow(
    a: tuple[float, float, float],
    b: tuple[float, float, float],
    says: str,
    is_across: bool,
    width: float,
) -> str:
    (ax, ay, aw), (bx, by, bw) = a, b
    if is_across:
        start, end = (ax + aw, ay + _HEIGHT / 2), (bx, by + _HEIGHT / 2)
        middle = (start[0] + end[0]) / 2
        path = f"C{middle:.0f},{start[1]:.0f} {middle:.0f},{end[1]:.0f}"
    elif by > ay:
        start, end = (ax + aw / 2, ay + _HEIGHT), (bx + bw / 2, by)
        middle = (start[1] + end[1]) / 2
        path = f"C{start[0]:.0f},{middle:.0f} {end[0]:.0f},{middle:.0f}"
    else:  # back, around the right side
        start, end = (ax + aw, ay + _HEIGHT / 2), (bx + bw, by + _HEIGHT / 2)
        path = f"C{width + _BACK:.0f},{start[1]:.0f} {width + _BACK:.0f},{end[1]:.0f}"
    label = ""
    if says:
        x = max(start[0], end[0]) + 24 if by <= ay else (start[0] + end[0]) / 2 + 8
        label = (
            f'<text x="{x:.0f}" y="{(start[1] + end[1]) / 2 + 4:.0f}" font-size="12" '
            f'fill="currentColor">{escape(says)}</text>'
        )
    return (
        f'<path d="M{start[0]:.0f},{start[1]:.0f} {path} {end[0]:.0f},{end[1]:.0f}" fill="none" '
        f'stroke="currentColor" marker-end="url(#arrow)"/>{label}'
    )
