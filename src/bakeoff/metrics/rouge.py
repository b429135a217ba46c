"""ROUGE through ``rouge_score``, over all cores, the same to the bit for any number of workers.

The workers are fresh interpreters that import this module alone and exchange JSON over pipes.
Nothing is forked from a process in which torch's threads may live, nothing of the caller's main
script is imported again, and a worker ends by itself when its parent does.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.rouge_tokens import EnglishTokenizer, EveryScriptTokenizer, is_english
from bakeoff.metrics.sentences import split_sentences

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer as LibraryScorer

ROUGE_KEYS: Final = ("rouge1", "rouge2", "rougeL", "rougeLsum")

# Below this many pairs the workers' start (about a second of imports) costs more than they save.
MIN_POOL_PAIRS: Final = 200
_MAX_CHUNK: Final = 64
_MIN_CHUNK: Final = 8
"""So few pairs are not worth the start of another worker."""

_LOG = logging.getLogger(__name__)

Scores = NDArray[np.float64]
Rows = list[list[float]]


def rouge_scores(
    predictions: Sequence[str], references: Sequence[str], *, workers: int | None = None
) -> Scores:
    """ROUGE F-measures of each prediction against its reference, with Porter's stemming.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries". For ROUGE-Lsum
    both sides are split by ``split_sentences``. Words are the library's own where the reference is
    English, and keep letters of every script elsewhere (``rouge_tokens``).

    Args:
        predictions: [N] generated texts; an empty one scores 0.
        references: [N] the texts to match.
        workers: processes to use, at most one a core; None takes every core. Fewer than
            ``MIN_POOL_PAIRS`` pairs are scored in this process.

    Returns:
        [N, 4] F-measures in 0..1, columns as in ``ROUGE_KEYS``.

    Raises:
        DataError: the lengths differ, or an entry is not a text.
        ConfigError: workers is below one.
    """
    if len(predictions) < MIN_POOL_PAIRS or _worker_count(workers) == 1:
        _check(predictions, references)
        return _as_scores(_score_rows(predictions, references))
    with RougeScorer(workers=workers) as scorer:
        return scorer.submit(predictions, references).result()


class PendingScores:
    """Scores under way in the workers of a ``RougeScorer``."""

    def __init__(self, chunks: list[Future[Rows]]) -> None:
        self._chunks = chunks

    def done(self) -> bool:
        """Whether ``result`` would return at once."""
        return all(chunk.done() for chunk in self._chunks)

    def result(self) -> Scores:
        """[N, 4] as ``rouge_scores`` returns them; waits until they are there."""
        return _as_scores([row for chunk in self._chunks for row in chunk.result()])


class RougeScorer:
    """Workers that stay alive for several calls and score while the caller generates.

    Leaving the block waits for what was submitted; leaving it by an exception drops what has not
    begun. Workers start when there is work for them.

    Args:
        workers: as for ``rouge_scores``.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self._workers = _worker_count(workers)
        self._threads: ThreadPoolExecutor | None = None
        self._idle: list[_Worker] = []
        self._idle_lock = threading.Lock()

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="rouge")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._threads is not None
        self._threads.shutdown(wait=True, cancel_futures=kind is not None)
        self._threads = None
        while self._idle:
            self._idle.pop().close()

    def submit(self, predictions: Sequence[str], references: Sequence[str]) -> PendingScores:
        """Starts scoring and returns at once; arguments and errors as for ``rouge_scores``."""
        if self._threads is None:
            raise RuntimeError("RougeScorer.submit outside its with block; enter the block first")
        _check(predictions, references)
        size = min(_MAX_CHUNK, max(_MIN_CHUNK, -(-len(predictions) // self._workers)))
        return PendingScores(
            [
                self._threads.submit(
                    self._score, list(predictions[i : i + size]), list(references[i : i + size])
                )
                for i in range(0, len(predictions), size)
            ]
        )

    def _score(self, predictions: list[str], references: list[str]) -> Rows:
        """One chunk, by an idle or a new worker; in this process if that worker is lost."""
        with self._idle_lock:
            worker = self._idle.pop() if self._idle else None
        try:
            worker = worker or _Worker()
            rows = worker.score(predictions, references)
        except (OSError, EOFError, ValueError) as error:
            _LOG.warning("a ROUGE worker was lost (%s); its chunk is scored here instead", error)
            if worker is not None:
                worker.close()
            return _score_rows(predictions, references)
        with self._idle_lock:
            self._idle.append(worker)
        return rows


class _Worker:
    """A fresh interpreter that answers lines of JSON until its input ends."""

    def __init__(self) -> None:
        # One thread for numpy's BLAS, which the workers load but never use.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from bakeoff.metrics.rouge import _serve; _serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="ascii",
        )

    def score(self, predictions: list[str], references: list[str]) -> Rows:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([predictions, references]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise EOFError(f"process {self._process.pid} closed its output")
        return cast(Rows, json.loads(answer))

    def close(self) -> None:
        """Ends the process; no work is under way, so that nothing is lost by ending it hard."""
        self._process.kill()
        self._process.communicate()


def _serve() -> None:
    """The worker's life: one line of JSON in, one line out; floats keep every bit in JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; the input's end suffices
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print spoils no answer
    try:
        for line in sys.stdin:
            predictions, references = json.loads(line)
            answers.write(json.dumps(_score_rows(predictions, references)) + "\n")
            answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone: there is no one to report to


def _score_rows(predictions: Sequence[str], references: Sequence[str]) -> Rows:
    rows: Rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        whole, by_sentence = _library_scorers(is_english(reference))
        scores = whole.score(reference, prediction) | by_sentence.score(
            "\n".join(split_sentences(reference)), "\n".join(split_sentences(prediction))
        )
        rows.append([float(scores[key].fmeasure) for key in ROUGE_KEYS])
    return rows


@functools.cache
def _library_scorers(english: bool) -> tuple[LibraryScorer, LibraryScorer]:
    """Two, as only ROUGE-Lsum reads texts that are split into sentences."""
    # Imported here: the library loads nltk and scipy, seconds that only scoring should pay.
    from rouge_score.rouge_scorer import RougeScorer as LibraryScorer

    tokenizer = EnglishTokenizer() if english else EveryScriptTokenizer()
    return (
        LibraryScorer(list(ROUGE_KEYS[:3]), tokenizer=tokenizer),
        LibraryScorer(list(ROUGE_KEYS[3:]), tokenizer=tokenizer),
    )


def _as_scores(rows: Rows) -> Scores:
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(ROUGE_KEYS))


def _worker_count(workers: int | None) -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if workers is None:
        return cores
    if workers < 1:
        raise ConfigError(f"rouge: workers is {workers}; use at least 1, or None for every core")
    return min(workers, cores)


def _check(predictions: Sequence[str], references: Sequence[str]) -> None:
    for name, texts in (("predictions", predictions), ("references", references)):
        if isinstance(texts, str):
            raise DataError(f"rouge: {name} is one text; pass a list of texts")
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(
                    f"rouge: {name}[{index}] is {type(text).__name__}, but only texts are scored; "
                    "pass '' for an example without one"
                )
    if len(predictions) != len(references):
        raise DataError(
            f"rouge: {len(predictions)} predictions but {len(references)} references; "
            "each prediction needs exactly one reference"
        )
