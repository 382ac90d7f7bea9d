"""What to do with each song, from the catalog, the table and the rules."""
