"""The replay buffer, in memory and on disk."""
