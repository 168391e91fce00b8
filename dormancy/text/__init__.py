"""How names and numbers are written, for terminal, page, Markdown and JSON."""
