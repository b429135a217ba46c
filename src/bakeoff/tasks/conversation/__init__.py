"""Conversations: their forms, templates and spans."""
