"""Readers that see untrusted bytes first; nothing in a file is ever run."""
