"""The study of tuning methods: what each costs and what it brings, on the same rows."""
