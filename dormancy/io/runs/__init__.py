"""Run folders: their layout and their record."""
