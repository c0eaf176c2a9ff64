"""What the project claims to save, measured: one command each, results as JSON beside tables."""
