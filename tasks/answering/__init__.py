"""The stage answering: whether each language is written, quoted, or both, by what that is worth on the team's own questions."""
