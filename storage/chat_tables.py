"""The tables of what people said and what was answered, which no artifact has rows for."""

from collections.abc import Mapping

from storage.table import Table

CHAT_TABLES: Mapping[str, Table] = {
    "conversations": Table(
        {
            "conversation_id": "VARCHAR",
            "model_id": "VARCHAR",
            "index_id": "VARCHAR",
            "started": "TIMESTAMP",
            "channel": "VARCHAR",
            "owner": "VARCHAR",
            "title": "VARCHAR",
            "release_id": "VARCHAR",
            "unreleased": "VARCHAR",
        }
    ),
    "messages": Table(
        {
            "message_id": "VARCHAR",
            "conversation_id": "VARCHAR",
            "ordinal": "BIGINT",
            "role": "VARCHAR",
            "content": "VARCHAR",
            "sources": "JSON",
            "ts": "TIMESTAMP",
            "turn_id": "VARCHAR",
            "lang": "VARCHAR",
            "reason": "VARCHAR",
            "finish": "VARCHAR",
            "refused": "VARCHAR",
            "quoted": "BOOLEAN",
            "sentences": "JSON",
            "calls": "JSON",
            "tokens": "BIGINT",
            "seconds": "DOUBLE",
            "confidence": "DOUBLE",
            "release_id": "VARCHAR",
            "index_id": "VARCHAR",
            "unreleased": "VARCHAR",
        },
        required=("conversation_id", "ordinal", "role", "content"),
    ),
    "feedback": Table(
        {
            "feedback_id": "VARCHAR",
            "message_id": "VARCHAR",
            "rating": "INTEGER",
            "correction": "VARCHAR",
            "ts": "TIMESTAMP",
            "session_id": "VARCHAR",
            "messages": "JSON",
            "answer_a": "VARCHAR",
            "answer_b": "VARCHAR",
            "model_a": "VARCHAR",
            "model_b": "VARCHAR",
            "choice": "VARCHAR",
            "turn_id": "VARCHAR",
        }
    ),
    "safety_decisions": Table(
        {
            "decision_id": "VARCHAR",
            "turn_id": "VARCHAR",
            "side": "VARCHAR",
            "code": "VARCHAR",
            "blocked": "BOOLEAN",
            "score": "DOUBLE",
            "lang": "VARCHAR",
            "ts": "TIMESTAMP",
        },
        required=("decision_id", "side", "code", "blocked"),
    ),
}
