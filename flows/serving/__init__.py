"""The chatbot as programs open it: the engine, and the index that serves at the moment."""
