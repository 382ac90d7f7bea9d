"""The work itself: drop songs with vocals, separate, encode."""
