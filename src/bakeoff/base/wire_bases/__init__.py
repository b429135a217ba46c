"""A family of small bases: one tokenizer, one corpus, equal tokens per parameter, four sizes."""
