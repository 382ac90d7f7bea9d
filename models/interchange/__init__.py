"""Import of released checkpoints."""
