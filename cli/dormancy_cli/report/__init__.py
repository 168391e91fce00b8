"""The command `dormancy report`."""
