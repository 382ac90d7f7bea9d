"""The token table: Delta tables with unique keys, their schema, and what is computed from their rows."""
