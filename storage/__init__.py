"""What is kept: the DuckDB catalog, content-addressed artifacts and the model registry. Knows nothing of training or chat."""
