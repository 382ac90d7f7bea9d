"""Catalogs as others write them, one file a format: a pure reader, and `songs`, which gives it what it reads."""
