"""HTTP of administering upstreams."""
