"""Songs as files: generate and edit from the command line."""
