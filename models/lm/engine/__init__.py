"""The decoding engine: slots, a static cache, guidance as paired rows. :mod:`.engine` is where to begin."""
