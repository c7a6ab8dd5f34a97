"""The public endpoints: each handler decodes, asks, encodes."""
