"""What operators see: logs, health, metrics."""
