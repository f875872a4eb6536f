"""The management API of governance."""
