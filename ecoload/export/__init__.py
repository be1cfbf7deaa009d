"""What ecoload writes for others to use: each module makes text, and touches neither disk nor network.
Only `tree` writes what they make, and `removal` takes it away again."""
