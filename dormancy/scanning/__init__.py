"""Scan networks and checkpoints, and order scans into series."""
