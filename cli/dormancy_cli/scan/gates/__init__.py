"""Gates of `dormancy scan`: limits, verdicts, baselines."""
