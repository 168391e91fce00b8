"""What surrounds every training loop."""
