"""From a task and its source to tokenised examples."""
