"""Reports: a resource server without a database, built from the claims of the token."""
