"""Rows made durable: checkpoints, the changelog, snapshots, copies on other workers."""
