"""Making load: schedule (pure) → executor → VU → transport. Knows no thresholds and no reports."""
