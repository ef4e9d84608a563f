"""Reinforcement learning from human feedback: reward models from preferences, then PPO, on one shared frozen trunk."""
