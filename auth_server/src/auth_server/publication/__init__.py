"""The published documents: what they say, who serves them, who writes them to a directory."""
