"""The seam to Kafka and Kafka behind it: places, records, readers, fetchers, transactions, topics; knows no hop."""
