"""Trained vectors and keys before the tokens: soft prompts, P-tuning, prefix tuning."""
