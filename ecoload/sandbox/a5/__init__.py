"""A5, student pilot: web front end and payments."""
