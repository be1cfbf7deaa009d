"""A4, scholarship sage (LLM)."""
