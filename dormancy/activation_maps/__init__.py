"""Filters and activation maps of chosen neurons."""
