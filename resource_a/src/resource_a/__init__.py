"""Notes: a resource server with its own database that never calls the auth server."""
