"""bakeoff from Python: a study is made, planned and run, and its results are read and used.

The command line is a client of this package.
"""

from bakeoff.api.answers import predict, predictions
from bakeoff.api.results import Results, load
from bakeoff.api.running import RunSettings, StoppedEarly, execute, plan, run
from bakeoff.api.starting import init
from bakeoff.api.study import Study

__all__ = [
    "Results",
    "RunSettings",
    "StoppedEarly",
    "Study",
    "execute",
    "init",
    "load",
    "plan",
    "predict",
    "predictions",
    "run",
]
