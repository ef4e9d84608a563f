"""Data preparation: read what people have, keep what is good, and account for the rest."""
