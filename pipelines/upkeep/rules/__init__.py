"""The rules of `stems table verify`."""
