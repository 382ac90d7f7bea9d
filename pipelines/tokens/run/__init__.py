"""One run on the cluster: survey, Ray Data streams, rows, commits, progress and report."""
