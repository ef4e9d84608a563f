"""A turn of a conversation as the store keeps it."""


def turn(name: str, question: str = "量子化とは?", answer: str = "重みを小さくします。", **facts) -> dict:
    source = {"number": 1, "chunk_id": "c1", "document": "a.md", "title": "A", "heading": "A > B", "text": "long text", "lang": "ja"}
    return {
        "turn_id": name,
        "question": question,
        "lang": "ja",
        "answer": answer,
        "sources": [source | {"score": 1.5, "page": None}],
        "sentences": [{"text": answer, "cites": (1,), "supported": True}],
        "calls": [({"name": "calculate", "arguments": {"expression": "1+1"}}, {"name": "calculate", "ok": True, "content": "2"})],
        "refused": "",
        "reason": "answered",
        "finish": "stop",
        "quoted": False,
        "confidence": 0.75,
        "tokens": 7,
        "seconds": 0.5,
        "release": "",
        "index": "",
        "unreleased": "",
    } | facts
