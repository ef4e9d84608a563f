"""Evaluation: every model on the same items, every answer kept, and a decision with its reason."""
