"""A user's own function as a metric: ``my_metrics.py:score``.

The function gets a text, its example's references and the row, and returns a number, or a mapping
of names to numbers of which the option ``key`` takes one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError, DataError
from bakeoff.files import read_text
from bakeoff.metrics.base import MeanMetric, with_ones
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs

_MOST_BYTES: Final = 10_000_000
Function = Callable[[str, Sequence[str], Mapping[str, object]], object]


@dataclass(frozen=True, kw_only=True)
class PythonOptions:
    """Options of a metric of one's own.

    Attributes:
        function: ``FILE.py:NAME``. key: which number of a mapping that it returns.
        name: as in results; the key, or the function's name. title: for readers; the name.
        unit: ``× 100`` for shares in 0..1. higher_is_better: the direction.
        margin: a difference that does not matter, in the function's own unit.
        load: whether the file is read; without, the metric has its name but scores nothing. So the
            studies of runs are opened that are only read.
    """

    function: str
    key: str | None = None
    name: str | None = None
    title: str | None = None
    unit: str = ""
    higher_is_better: bool = True
    margin: float = 0.01
    load: bool = True

    def __post_init__(self) -> None:
        file, _, name = self.function.rpartition(":")
        if not file.endswith(".py") or not name.isidentifier():
            raise ValueError("function: must be FILE.py:NAME, for example my_metrics.py:score")
        if not 0 < self.margin < math.inf:
            raise ValueError("margin: must be a positive number, in the function's own unit")


class PythonMetric(MeanMetric):
    """The mean of what the function returns.

    Raises:
        ConfigError: where there is no such file or function, or the file fails.
    """

    asks = Ask.TEXT
    needs = ("texts",)
    reads_rows = True

    def __init__(self, options: PythonOptions) -> None:
        file, _, name = options.function.rpartition(":")
        self.options = options
        self.name = options.name or options.key or name
        self.title = options.title or self.name
        self.unit = options.unit
        self.higher_is_better = options.higher_is_better
        self.default_margin = options.margin
        self._digest, self._function = "not read", cast(Function, _not_loaded)
        if not options.load:
            return
        source = _source(Path(file))
        self._digest = hashlib.sha256(source).hexdigest()[:12]
        self._function = _function(Path(file), name, self._digest)

    @property
    def signature(self) -> str:
        return f"{self.options.function}, SHA-256 {self._digest}"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.texts is not None
        scores = [
            self._score(row, text, example)
            for row, (text, example) in enumerate(zip(outputs.texts, examples, strict=True))
        ]
        return with_ones(np.array(scores, dtype=np.float64))

    def _score(self, row: int, text: str, example: Expected) -> float:
        place = f"metric {self.name}: {self.options.function}, example {row}"
        # Rows are kept for metrics that read them alone, so the contract of examples has none.
        columns: Mapping[str, object] = getattr(example, "row", {})
        try:
            found = self._function(text, tuple(example.references), columns)
        except Exception as error:  # whatever a function of someone else raises
            raise DataError(
                f"{place}: it raised {type(error).__name__}: {error}; mend it"
            ) from error
        key = self.options.key
        if key is not None:
            if not isinstance(found, Mapping) or key not in found:
                raise DataError(f"{place}: it returned {found!r:.200}, which has no key {key!r}")
            found = found[key]
        elif isinstance(found, Mapping):
            raise DataError(
                f"{place}: it returned a mapping; choose one of its numbers by `key`: "
                f"{', '.join(map(str, found))}. In a study that is {{python: "
                f"{{function: {self.options.function}, key: NAME}}}}"
            )
        try:
            number = float(found)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(found, str) or not math.isfinite(number):
            raise DataError(f"{place}: it returned {found!r:.200}; return a finite number")
        return number


def try_functions(metrics: Sequence[Metric], examples: Sequence[Expected], *, what: str) -> None:
    """Lets the functions among the metrics score an example's right answer, before a study begins.

    What fails on every row would else fail after hours, when the first texts are written.

    Args:
        metrics: of a task. examples: of one of its sets; the first is scored. what: the set's name.

    Raises:
        DataError: a function raises or returns no number.
    """
    for metric in metrics:
        if isinstance(metric, PythonMetric) and examples:
            right = (*examples[0].references, "")[0]
            try:
                metric.statistics(ModelOutputs(texts=[right]), examples[:1])
            except DataError as error:
                raise DataError(
                    f"{error}. It was tried on the {what} set's first row, with {right!r:.80} as "
                    "the text, so that this is known before anything is trained."
                ) from error


def _source(file: Path) -> bytes:
    try:
        return read_text(file, _MOST_BYTES).encode("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"metrics.python.function: {str(file)!r} cannot be read "
            f"({getattr(error, 'strerror', None) or error}) from "
            f"{Path.cwd()}; give the path of a Python file"
        ) from None


def _function(file: Path, name: str, digest: str) -> Function:
    module_name = f"bakeoff_metric_{file.stem}_{digest}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None and spec.loader is not None  # the file ends in .py
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses in the file look themselves up there
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[module_name]
            if not isinstance(error, Exception):
                raise
            raise ConfigError(
                f"metrics.python.function: {str(file)!r} cannot be imported "
                f"({type(error).__name__}: {error}); mend it"
            ) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; define it there"
        raise ConfigError(f"metrics.python.function: {str(file)!r} has no function {name!r}{hint}")
    found: Function = function
    return found


def _not_loaded(text: str, references: Sequence[str], row: Mapping[str, object]) -> object:
    raise ConfigError("its file was not loaded (load: false); score in a study that loads it")


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    from bakeoff.config import from_mapping

    return PythonMetric(from_mapping(PythonOptions, options, path="metrics.python"))
