"""Audio files: read, measure, write; containers; signatures."""
