"""Reading what people write: strict files in, one frozen plan out. Knows nothing of running."""
