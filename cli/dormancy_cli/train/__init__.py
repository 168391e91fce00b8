"""The command `dormancy train`."""
