"""The documentation site: its pages, the reference from the code, and what is checked of both."""
