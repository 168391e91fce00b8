"""The command `dormancy prune`."""
