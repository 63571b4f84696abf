"""Online models with River's interface that know nothing of banks or Kafka: usable alone.

The composite that a stream uses is in :mod:`detectors.ensemble`.
"""
