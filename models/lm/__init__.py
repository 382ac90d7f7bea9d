"""The multi-stream language model: transformer, objective, sampling, generation."""
