"""A real Chromium at a real gateway: what only a browser's own rules can show."""
