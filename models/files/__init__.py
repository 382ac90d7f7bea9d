"""Reading and writing the files and folders of models and commands."""
