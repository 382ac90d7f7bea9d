"""A band that plays songs with known stems, beats, chords and notes."""
