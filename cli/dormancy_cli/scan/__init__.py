"""The command `dormancy scan`."""
