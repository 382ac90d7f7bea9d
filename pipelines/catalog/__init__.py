"""Read catalogs in any format, from a folder or a manifest of audio, into one schema."""
