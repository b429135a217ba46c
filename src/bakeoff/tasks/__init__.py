"""What is learnt: how a row becomes an example, what the model is asked for, how it is scored."""
