"""A7, page maker."""
