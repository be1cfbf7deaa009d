"""What every app of the sandbox has in common."""
