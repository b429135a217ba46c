"""What data may hide from who trains on them: rows in two splits, answers in inputs, lengths."""
