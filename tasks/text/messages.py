"""One message of a conversation, as chat templates take it."""

import json
from typing import Any

# `role` (system, user, assistant or tool) and `content`, a text; of the assistant `tool_calls`, in the form that templates take, and `reasoning_content`; of a tool
# `name` and `tool_call_id`, where they are known.
Message = dict[str, Any]


def said(message: Message) -> str:
    """What a message says, calls of tools as JSON."""
    calls = (call["function"] for call in message.get("tool_calls") or ())
    written = [json.dumps({"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False) for call in calls]
    return "\n".join(text for text in (message["content"], *written) if text)
