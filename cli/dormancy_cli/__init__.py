"""The `dormancy` command: a caller of the library, and nothing that the library knows of."""
