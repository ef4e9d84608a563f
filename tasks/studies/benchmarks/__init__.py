"""Stage benchmark: models on standard benchmarks from local files, by likelihood or by what they write."""
