"""The SQL of the notes database: statements in, frozen records out, no decisions."""
