"""Recorded link rates: readers for their formats, and a small licensed set that comes along."""
