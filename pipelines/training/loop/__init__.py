"""The loop that all training jobs share: steps, workers, checkpoints, resuming."""
