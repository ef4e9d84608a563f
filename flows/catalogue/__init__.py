"""The table of stages. It imports no other folder of `flows`, and nothing of a stage's work."""
