"""The oracle: a live line's records computed again from the core alone, and compared byte for byte."""
