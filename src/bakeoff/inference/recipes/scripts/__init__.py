"""Scripts that a recipe copies as they are; they need nothing of bakeoff."""
