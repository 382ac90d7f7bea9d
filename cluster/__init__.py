"""The Ray cluster that jobs and the service run on: which one, what its nodes have, what can be placed there."""
