"""Kernels of our own for GPUs, and whether they are used."""
