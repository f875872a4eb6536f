"""Who did what: the rows that an administrator reads afterwards."""
