"""One pass of a network over a sample, and the statistics it collects."""
