"""HTTP of the MCP endpoints: `mcp` picks the era, `legacy` and `modern` never import each other."""
