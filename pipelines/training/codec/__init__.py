"""`stems train codec`: the codec of one stem."""
