"""The only modules that read published documents: they turn bytes at rest into a new `TrustSnapshot`."""
