"""SQL, once, for both databases: named queries, one store for each slice, numbered migrations."""
