"""The kinds of requests for music, one module each: fields, checks, and the worker's task."""
