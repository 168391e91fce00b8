"""The command `dormancy inspect`."""
