"""Histories as they lie: files of a bank's own form, their maps, labels and order."""
