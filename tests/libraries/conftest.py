"""The writers run in environments of their own: they are scripts, not tests, and import what is not installed here."""

collect_ignore_glob = ["writers/*"]
