"""Settings of the chat: how it generates, remembers, searches and checks."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.settings import Names, StageSettings


class ChatSettings(StageSettings):
    """How the chatbot answers: how its model writes, and when it relies on documents."""

    PATHS: ClassVar[set[str]] = {"templates"}
    OPERATIONAL: ClassVar[set[str]] = {"seconds", "device", "dtype"}

    max_new_tokens: int = Field(96, ge=1, description="Longest answer in tokens")
    temperature: float = Field(0.3, ge=0, description="0 takes the likeliest token; higher is more varied")
    top_k: int = Field(50, ge=0, description="Draw from so many of the likeliest tokens; 0 from all")
    top_p: float = Field(0.9, gt=0, le=1, description="Draw from the likeliest tokens that hold this share of the probability")
    min_p: float = Field(0.0, ge=0, le=1, description="Draw from tokens at least so many times as likely as the likeliest; 0 from all")
    num_beams: int = Field(1, ge=1, le=8, description="Beam search with so many beams instead of drawing; 1 draws")
    no_repeat_ngram: int = Field(4, ge=0, description="No run of so many tokens occurs twice in an answer; 0 allows it")
    repetition_penalty: float = Field(
        1.0, gt=0, description="Tokens of the answer are so much less likely to be said again; 1 is no penalty"
    )
    seconds: float = Field(120.0, gt=0, description="An answer that takes longer is ended where it is")
    max_turns: int = Field(10, ge=1, description="Questions and answers that are remembered")
    chunks: int = Field(2, ge=0, le=20, description="Chunks looked up for an answer; 0 answers without documents")
    support: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a sentence's character n-grams that the one or two sentences it rests on must hold for their chunk to be cited; "
        "with less, or where they claim something else, it is marked",
    )
    max_calls: int = Field(3, ge=0, le=10, description="Tools called for one question; 0 offers none")
    safety: bool = Field(True, description="Whether the safety filters read questions, answers and documents")
    cost_wrong: float = Field(
        1.0,
        ge=0,
        description="What a wrong answer costs, where a right one is worth 1 and to say that one does not know 0: the more, the surer that the chunks "
        "found answer the question the chat must be to answer; 0 always answers where something is found",
    )
    templates: Names = Field(
        [],
        description="How a question is put with its context: names of the prompt library (`migaki prompts list`), files of prompts (brief.ja.yaml), or files "
        "of text, each named by its language, such as templates/en.txt, and holding {context} and {question} once; a language without one has its bundled "
        "prompt `notes`",
    )
    answering: dict[str, Literal["write", "quote", "write and quote"]] = Field(
        {}, description='How a language is answered whatever was measured, such as {"ja": "quote"}'
    )
    system: str = Field("", description="System message, kept through the whole conversation")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model answers; auto takes a GPU when there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="What the model computes in; auto is bfloat16 on a GPU and where the processor multiplies it, else float32; int8 and nf4 on a CPU always float32",
    )
    server: str = Field(
        "",
        description="Address of a server that speaks OpenAI's protocol (vLLM), which answers in the model's place. Key: MIGAKI_SERVER_KEY",
    )
    server_model: str = Field("", description="Name of the model that chat.server is to answer with")
