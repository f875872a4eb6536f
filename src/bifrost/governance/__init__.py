"""May they, and how much: virtual keys and what each key may reach."""
