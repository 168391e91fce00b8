"""Options, console, tables and paths that several commands use."""
