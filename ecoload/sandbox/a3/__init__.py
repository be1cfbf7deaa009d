"""A3, scholarship agent."""
