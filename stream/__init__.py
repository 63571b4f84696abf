"""riskstream: transactions in from Kafka, explained decisions out; the core in the middle knows nothing of either."""
