"""Pages that open without a network: their parts, and curves."""
