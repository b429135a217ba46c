"""Where a study can be followed besides the report: one small interface, three programs."""
