"""One method, one task and one metric for bakeoff; ``CONTRIBUTING.md`` walks through them."""
