"""The MCP endpoints: many upstreams behind one address."""
