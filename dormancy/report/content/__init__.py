"""What a report contains, as plain data: no HTML, no pixels."""
