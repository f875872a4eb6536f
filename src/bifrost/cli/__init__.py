"""The command `bifrost`."""
