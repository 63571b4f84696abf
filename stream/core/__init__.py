"""The pure core: features, scores and decisions from plain data; no Kafka, no clock, no randomness, no I/O."""
