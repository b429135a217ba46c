"""Makes the built site ask nothing of any network, also where it is opened from a folder.

Zensical's search runs in a worker, which browsers do not start from ``file:``. Its plug-in for this
names a script elsewhere; ``assets/worker.js`` does the same from the site itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_ELSEWHERE = re.compile(
    r"<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*\"[^>]*>"
    r"|<link\b(?=[^>]*\brel=\"?(?:stylesheet|preload|preconnect|icon)\b)[^>]*\bhref=\"(?:https?:)?//[^>]*>"
)
_SHIM = re.compile(r"https://unpkg\.com/iframe-worker/shim")


def make_offline(site: Path) -> list[str]:
    """Turns the one script from elsewhere to the site's own.

    Returns:
        What still asks elsewhere, by page; it should be nothing.
    """
    asked = []
    for page in sorted(site.rglob("*.html")):
        up = os.path.relpath(site, page.parent)
        text = page.read_text(encoding="utf-8")
        text = _SHIM.sub(f"{up}/assets/worker.js", text)
        page.write_text(text, encoding="utf-8")
        asked += [f"{page.relative_to(site)}: {found}" for found in _ELSEWHERE.findall(text)]
        if 'class="mermaid"' in text:
            asked.append(f"{page.relative_to(site)}: a chart that the page would load Mermaid for")
    return asked
