"""HTTP of the authorization server."""
