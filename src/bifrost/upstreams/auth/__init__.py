"""One file for each way to prove ourselves to an upstream."""
