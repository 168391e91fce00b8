"""Reference trainers of the paper's agents: each one readable loop, top to bottom."""
