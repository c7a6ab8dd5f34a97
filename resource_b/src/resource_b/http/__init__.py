"""HTTP at its edge: decode, ask, encode."""
