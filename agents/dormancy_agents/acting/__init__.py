"""Act with a trained network: collect samples, compare returns."""
