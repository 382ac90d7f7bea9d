"""What manifests and sidecars say of songs, and which files they mean."""
