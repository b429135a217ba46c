"""What a paper takes of a study: tables, scores, figures, references, the protocol in words."""
