"""What a worker tells about itself: metrics, probes, the watchdog and what they look at."""
