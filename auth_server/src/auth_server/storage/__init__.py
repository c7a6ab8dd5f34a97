"""SQL in, frozen records out, no decisions. One module for each group of tables; every moment is given, never now()."""
