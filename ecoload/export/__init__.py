"""What ecoload writes for others to use: each module makes text, and touches neither disk nor network."""
