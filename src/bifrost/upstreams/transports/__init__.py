"""One file for each way to exchange messages with an upstream."""
