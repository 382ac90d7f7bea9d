"""Formats of catalogs, one file per format: a pure reader, and `songs`, which supplies its input."""
