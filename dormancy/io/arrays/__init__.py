"""Arrays on disk that read only the rows that are sliced."""
