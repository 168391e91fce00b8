"""Find the network that belongs to bare parameters."""
