"""How the base attends: kernels for each device, sliding windows, cached keys and values."""
