"""The chatbot: conversation, retrieval and generation behind one engine."""
