"""The chatbot watched: figures of its weeks and releases, what left its range, what people ask that no document answers, what drifts."""
