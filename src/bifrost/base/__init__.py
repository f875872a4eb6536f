"""What every part of the product stands on; imports nothing of the product."""
