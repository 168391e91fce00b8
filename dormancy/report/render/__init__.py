"""How a report looks: HTML, SVG, PNG, Markdown."""
