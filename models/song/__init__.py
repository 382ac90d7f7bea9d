"""A whole model on whole songs: generate, edit, continue."""
