"""The gateway: ISO 20022 messages on Kafka into the line, and the line's answers out. The shell around ``stream.iso20022``."""
