"""Stage decoding_study: ways of decoding, side by side on held-out prompts."""
