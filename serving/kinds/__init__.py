"""The kinds of requests for music, a module each: what may be asked, how it is checked, and what it becomes."""
