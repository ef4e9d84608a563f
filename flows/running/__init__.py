"""How flows run: here or on a work pool, with which parameters, on which device, and what is written down of it."""
