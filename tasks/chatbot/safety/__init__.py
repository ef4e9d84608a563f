"""Safety filters: harmful requests, personal data, and instructions hidden in documents."""
