"""The report while the run goes on, in a browser."""
