"""Access tokens: their claims, and the issuer that has them signed."""
