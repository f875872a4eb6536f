"""HTTP of administrators."""
