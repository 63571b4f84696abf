"""The Faust worker: the shell that feeds the core from Kafka and makes its results durable, exactly once."""
