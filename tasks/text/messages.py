"""One message of a conversation, as chat templates take it."""

Message = dict[str, str]  # role (system, user or assistant) and content
