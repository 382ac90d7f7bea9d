"""Data that every training draws from: random draws by step, sound files, and batches made ahead."""
