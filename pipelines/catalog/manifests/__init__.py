"""Read manifests and sidecars, and find the files that they name."""
