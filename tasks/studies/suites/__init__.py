"""Standard benchmarks from local files: their questions, read from the forms in which they are published, and answers taken out of what a model wrote."""
