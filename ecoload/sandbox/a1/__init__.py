"""A1, identity provider (OIDC)."""
