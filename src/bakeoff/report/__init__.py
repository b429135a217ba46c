"""A run's folder becomes a page, a text and figures."""

from bakeoff.report.write import write_report

__all__ = ["write_report"]
