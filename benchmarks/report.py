"""How long a report takes to write and to open: ten methods, thousands of test rows.

    .venv/bin/python benchmarks/report.py [--rows 3000] [--methods 10] [--browser]

Writes a golden run made large into a temporary folder (documents as long as CNN/DailyMail's, about
4,000 characters), makes its report, and prints seconds and bytes, with and without the examples.
With ``--browser`` it opens the page in Chromium (``make test-browser`` installs Playwright), shows
all rows, scrolls through them, and prints the seconds to load, to search, and the longest frame.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bakeoff.report import write_report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.grown_runs import write_grown

DOCUMENT_WORDS = 690
SUMMARY_WORDS = 45
SCROLL = """async (step) => {
    const frames = [], tasks = [];
    const observer = new PerformanceObserver(list =>
        list.getEntries().forEach(task => tasks.push(task.duration)));
    observer.observe({type: "longtask"});
    let last = performance.now();
    const list = document.getElementById("list");
    const bottom = list.getBoundingClientRect().bottom + scrollY - innerHeight;
    list.scrollIntoView();
    for (let i = 0; i < 200 && scrollY < bottom; i++) {
        window.scrollBy(0, step);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
    }
    await new Promise(done => setTimeout(done, 200));
    observer.disconnect();
    frames.sort((a, b) => a - b);
    const at = share => Math.round(frames[Math.floor((frames.length - 1) * share)]);
    return {frames: frames.length, median_ms: at(0.5), p95_ms: at(0.95), longest_ms: at(1),
            tasks_over_50_ms: tasks.length, longest_task_ms: Math.max(0, ...tasks),
            built: document.querySelectorAll("article:has(.card)").length};
}"""


def write_rows(folder: Path, rows: int) -> None:
    """Texts of real length in place of the short ones."""
    draw = random.Random(0)
    heads, tails = "ba ke of ru ne mi to lo sa vi", "n ter ment sion ly ed ing s ful ra"
    words = [f"{head}{tail}" for head in heads.split() for tail in tails.split()]

    def text(count: int) -> str:
        return " ".join(draw.choices(words, k=count))

    examples = [
        {"index": i, "row": i, "document": text(DOCUMENT_WORDS), "reference": text(SUMMARY_WORDS)}
        for i in range(rows)
    ]
    replace(folder / "examples.jsonl", examples)
    for path in folder.rglob("predictions.jsonl"):
        kept = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        replace(path, [{**row, "prediction": text(SUMMARY_WORDS)} for row in kept])


def replace(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def timed(folder: Path) -> tuple[float, int]:
    started = time.perf_counter()
    page = write_report(folder)
    return time.perf_counter() - started, page.stat().st_size


def in_browser(page_file: Path) -> None:
    from playwright.sync_api import sync_playwright

    path = next(p for n in ("chromium", "chromium-browser", "google-chrome")
                if (p := shutil.which(n)))  # fmt: skip
    flags = ["--headless", "--no-sandbox", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(300_000)
        started = time.perf_counter()
        page.goto(page_file.as_uri())
        page.wait_for_selector("article .card")
        print(f"opened in {time.perf_counter() - started:.2f} s")
        started = time.perf_counter()
        page.get_by_role("button", name="Show all").click()
        page.wait_for_function("() => document.getElementById('more').hidden")
        print(f"all rows shown after {time.perf_counter() - started:.2f} s")
        for step in (400, 4000):
            print(f"scrolling {step} px a frame: {json.dumps(page.evaluate(SCROLL, step))}")
        spent = page.evaluate(
            """() => {
                const search = document.getElementById("search"), started = performance.now();
                search.value = "nowhere";
                search.dispatchEvent(new Event("input"));
                return new Promise(done => {
                    const look = () => document.querySelector("#list article")
                        ? setTimeout(look, 5) : done(performance.now() - started - 120);
                    look();
                });
            }"""
        )
        print(f"the first search took {spent:.0f} ms")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--methods", type=int, default=10)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_grown(folder, [f"method_{i}" for i in range(given.methods)], given.rows)
        write_rows(folder, given.rows)
        seconds, size = timed(folder)
        print(f"{given.methods} methods x {given.rows} rows: {seconds:.1f} s, {size / 1e6:.1f} MB")
        if given.browser:
            in_browser(folder / "report.html")
        (folder / "examples.jsonl").unlink()
        seconds, size = timed(folder)
        print(f"without the examples: {seconds:.1f} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
