"""Which candidates a study trains: grids, pruning, and where a search is stored."""
