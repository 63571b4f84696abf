"""Kafka from the outside: which topics there are, how to connect, and two brokers to develop against."""
