"""The stages of a campaign; each module has ``run(report, place, ...)``."""
