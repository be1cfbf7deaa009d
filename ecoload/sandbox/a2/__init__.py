"""A2, API and event ingest."""
