"""Maintenance of a token table: inspect, verify, compare, compact, export, and take songs down."""
