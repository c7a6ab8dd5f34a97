"""Signing keys: made, sealed, listed and used. Only `signer` signs."""
