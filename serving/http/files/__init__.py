"""Stored files as HTTP answers: names, ranges, and what was read lately."""
