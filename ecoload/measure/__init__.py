"""Measuring: samples in, figures out. Knows nothing of who asked or of what is good."""
