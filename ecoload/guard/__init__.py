"""May this plan run? Hosts, read-only, namespaces, approvals, locks. Knows nothing of the engine."""
