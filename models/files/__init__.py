"""Files and folders that models and commands read and write."""
