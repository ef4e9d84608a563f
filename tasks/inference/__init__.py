"""Generating text: batching, slots, decoding, and servers elsewhere. RLHF, evaluation and the chatbot use it."""
