"""Programs for whoever works on the project; the product does not need them."""
