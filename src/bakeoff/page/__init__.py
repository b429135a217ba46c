"""Components that every page shares: figures, colours, the page around the content."""
