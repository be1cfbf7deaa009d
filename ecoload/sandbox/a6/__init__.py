"""A6, provider portal."""
