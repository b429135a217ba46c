"""Low-rank updates beside frozen linear layers: LoRA and DoRA."""
