"""A8, command centre, read only."""
