"""What only a GPU can answer: ``campaign.py`` and its stages."""
