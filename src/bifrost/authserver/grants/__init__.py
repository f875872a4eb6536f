"""The token endpoint's grants: a table from `grant_type` to what differs between them."""
