"""From bytes to columns: scanning, checking and keying what arrives; for hops, replay and whoever reads records."""
