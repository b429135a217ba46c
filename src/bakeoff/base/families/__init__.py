"""Layers of families that do not go through Transformers' interfaces."""
