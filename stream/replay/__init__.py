"""Replay: the shell that drives the core over history, to verify, compare and measure."""
