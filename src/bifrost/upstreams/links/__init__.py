"""One file for each way to hold a conversation with an upstream: its era, and what carries it."""
