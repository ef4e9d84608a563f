"""The chatbot over HTTP: a page of our own, an API that OpenAI's clients speak, and what keeps both safe to expose."""
