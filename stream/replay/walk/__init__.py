"""The core over a history: one process, several, or the workers of a cluster."""
