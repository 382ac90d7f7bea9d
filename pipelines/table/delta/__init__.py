"""Delta Lake: commits, changes and data files. The only package that imports deltalake."""
