"""One song on its way in: its source, its limits, its stems, and why it may be refused."""
