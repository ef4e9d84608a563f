"""Prompts: one code path for training, evaluation and chat."""
