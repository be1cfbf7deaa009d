"""Judging: figures in, PASS, FAIL or INCONCLUSIVE out. Knows nothing of files or of the engine."""
