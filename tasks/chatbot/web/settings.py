"""Settings of the server: where it listens, and how much it takes on."""

from pydantic import Field

from tasks.settings import StageSettings


class ServeSettings(StageSettings):
    """Limits are per server, except where a field says per user: the holder of a token, or without tokens an address."""

    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback a token file is needed")
    port: int = Field(8400, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    allowed_hosts: list[str] = Field(
        [],
        description="Names, without port, under which the server may be asked (such as chat.example.org behind a proxy); empty takes loopback's own names, or with tokens any",
    )
    tls_certificate: str = Field("", description="PEM file with the certificate chain: answers over HTTPS then; needs tls_key")
    tls_key: str = Field("", description="PEM file with the certificate's private key")
    max_body_kb: int = Field(256, ge=1, description="Largest request body in KiB")
    max_question: int = Field(8000, ge=1, description="Longest question of the page, in characters")
    max_messages: int = Field(512, ge=1, description="Messages of one request of /v1")
    max_characters: int = Field(200_000, ge=1, description="Characters of all messages of one request of /v1 together")
    max_answer_tokens: int = Field(1024, ge=1, description="Longest answer that a client may ask for, in tokens")
    generation_panel: bool = Field(
        False,
        description="Whether the page has a panel in which people choose temperature, top-p and the length of their answers (up to max_answer_tokens); such "
        "answers are kept as none of the release's",
    )
    max_concurrent: int = Field(16, ge=1, description="Answers that are made at once; further ones wait")
    max_waiting: int = Field(64, ge=0, description="Requests that may wait for their turn; further ones are turned away with 503")
    max_concurrent_each: int = Field(4, ge=1, description="Of these, answers of one user, where there are tokens")
    max_waiting_each: int = Field(
        8, ge=0, description="Of these, requests of one user, where there are tokens; further ones are turned away with 429"
    )
    requests_per_minute: float = Field(240, gt=0, description="Requests a user may send in the long run")
    burst: int = Field(60, ge=1, description="Requests a user may send at once")
    header_seconds: float = Field(
        10, gt=0, description="Time in which a request's headers must have arrived; its connection is closed then"
    )
    max_connections: int = Field(1000, ge=1, description="Open connections; further ones are answered with 503")
    reading_seconds: float = Field(
        60, gt=0, description="Longest time in which a client may leave a piece of a stream unread; its answer is stopped then"
    )
    trusted_proxies: list[str] = Field(
        [], description="Addresses of proxies whose X-Forwarded-For says who asks, such as 127.0.0.1; of others it says nothing"
    )
    body_seconds: float = Field(10, gt=0, description="Time in which a request's body must have arrived")
    waiting_seconds: float = Field(60, gt=0, description="Longest wait for one's turn")
    answer_seconds: float = Field(180, gt=0, description="Longest time an answer is made; it is stopped then, and what there is is kept")
