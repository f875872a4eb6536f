"""What the bench is made of."""
