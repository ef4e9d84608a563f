"""The work: one subpackage per stage. Algorithm modules know neither Prefect nor DuckDB."""
