"""The demonstration: a small bank's day on a line of its own, on one screen."""
