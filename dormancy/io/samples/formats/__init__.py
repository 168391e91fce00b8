"""Sample formats, one file each."""
