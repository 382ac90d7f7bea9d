"""Stored files as HTTP responses: names, ranges, and a cache."""
