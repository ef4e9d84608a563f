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
    max_answer_tokens: int = Field(1024, ge=1, description="Longest answer that a client may ask for, in tokens")
    max_concurrent: int = Field(16, ge=1, description="Answers that are made at once; further ones wait")
    max_waiting: int = Field(64, ge=0, description="Requests that may wait for their turn; further ones are turned away with 503")
    requests_per_minute: float = Field(240, gt=0, description="Requests a user may send in the long run")
    burst: int = Field(60, ge=1, description="Requests a user may send at once")
    body_seconds: float = Field(10, gt=0, description="Time in which a request's body must have arrived")
    waiting_seconds: float = Field(60, gt=0, description="Longest wait for one's turn")
    answer_seconds: float = Field(180, gt=0, description="Longest time an answer is made; it is stopped then, and what there is is kept")
