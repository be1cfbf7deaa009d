"""Carries out the protocol: phases of runs, gates, remedies, availability. Knows nothing of the terminal."""
