"""`stems train lm`: the language model."""
