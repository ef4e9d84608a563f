"""Prompts as files: named, versioned by what they hold, with examples and chains; read, checked, filled, advised on and compared."""
