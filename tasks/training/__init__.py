"""Instruction tuning and continued pre-training: one loop, LoRA or full."""
