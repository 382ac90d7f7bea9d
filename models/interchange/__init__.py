"""Released checkpoints in."""
