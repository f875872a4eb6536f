"""The tests' own tools, where a mistake in them would hide mistakes of the product."""
