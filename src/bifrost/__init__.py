"""Bifrost: one MCP address for many tool servers, guarded by its own OAuth 2.1 authorization server."""

__version__ = "0.1.0"
