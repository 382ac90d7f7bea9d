"""Looking after a token table: what it holds, whether it holds true, and what leaves it."""
