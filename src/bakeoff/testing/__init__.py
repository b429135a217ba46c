"""Contracts that methods, tasks and metrics keep to, as classes of tests to inherit.

For the tests of packages that extend bakeoff, run by pytest (the extra ``testing``). A class that
inherits one of these, says what it is for and is called ``Test...`` is all that is needed:

    class TestMine(MethodContract):
        kind = "mine"
        smaller = {"rank": 2}
"""

try:
    import pytest as _pytest
except ImportError as error:  # an extra
    raise ImportError(
        "bakeoff.testing needs pytest; install it, or bakeoff with its extra: "
        "pip install 'bakeoff[testing]'"
    ) from error

# The contracts' own assertions then show their values as those of any test file do.
_pytest.register_assert_rewrite(
    "bakeoff.testing.methods", "bakeoff.testing.metrics", "bakeoff.testing.tasks"
)

from bakeoff.testing.methods import MethodContract  # noqa: E402 - after the line above
from bakeoff.testing.metrics import MetricContract  # noqa: E402
from bakeoff.testing.tasks import TaskContract  # noqa: E402

__all__ = ["MethodContract", "MetricContract", "TaskContract"]
