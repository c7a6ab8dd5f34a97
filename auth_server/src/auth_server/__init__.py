"""Signs RS256 access tokens and publishes the keys that verify them."""
