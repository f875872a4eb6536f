"""MCP servers behind us: who they are, how we prove ourselves to them, how we talk to them."""
