"""Byte strings and times in arrays, without an object each; imports numpy and numba alone, everybody may enter."""
