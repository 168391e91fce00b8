"""What recycling and pruning share: edits, optimizer state, and the change of outputs."""
