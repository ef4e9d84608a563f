"""Smaller weights for serving: write the variants, measure each, pick one."""
