"""Rows by their key: tables, memory, layouts and their versions; knows no hop."""
