"""Read checkpoints: from a file to a `Checkpoint`."""
