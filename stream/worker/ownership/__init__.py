"""Who takes which partition's records, and since when: the line, its recoveries and its commits."""
