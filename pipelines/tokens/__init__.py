"""From a catalog to the token table: inspect, drop vocals, separate, tokenize, commit."""
