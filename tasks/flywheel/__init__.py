"""The flywheel: what people thought of the chatbot's answers becomes training data."""
