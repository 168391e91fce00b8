"""Algorithms, one folder each, listed in `registry`."""
