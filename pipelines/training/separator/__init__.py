"""`stems train separator`: a small Demucs."""
