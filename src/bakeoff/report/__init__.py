"""A run's folder becomes a page, a text and figures."""

from bakeoff.report.write import write_report, write_side_by_side

__all__ = ["write_report", "write_side_by_side"]
