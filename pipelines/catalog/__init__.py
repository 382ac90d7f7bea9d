"""From a folder or a manifest of audio to one schema: what there is, and what it is said to be."""
