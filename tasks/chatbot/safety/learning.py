"""What of a chat may be learnt: secrets, addresses of machines and personal data are masked, what speaks of somebody's health is held back.

More is masked here than in an answer (`personal`): a harmless number lost from a training row costs nothing, a telephone number that a
model learnt by heart cannot be taken back. Whether a text may be about somebody's health is for a person to decide, so it is only told.
"""

import ipaddress
import math
import re
from collections import Counter
from dataclasses import dataclass

from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.personal import PATTERNS, Kind, compiled, digits, find, iban_holds, placeholder
from tasks.chatbot.safety.text import half_width

SECRET, MACHINE = "private.secret", "private.machine"
PREFIXED = (
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,256}|gh[a-z]_[A-Za-z0-9]{20,256}|github_pat_\w{20,256}|glpat-[\w-]{16,256}|"
    r"xox[a-z]-[A-Za-z0-9-]{10,256}|xapp-[A-Za-z0-9-]{10,256}|A[A-Z]{3}[0-9A-Z]{16}(?![0-9A-Z])|AIza[\w-]{30,64}|ya29\.[\w-]{20,256}|"
    r"(?:hf|npm|shpat|shpss|whsec|dop_v1|r8|glc|lin_api|nvapi)[-_][A-Za-z0-9]{16,256}|pypi-[\w-]{16,256}|sq0[a-z]{3}-[\w-]{20,64}|"
    r"SG\.[\w-]{16,64}\.[\w-]{16,64}|eyJ[\w-]{8,4096}\.[\w-]{8,4096}(?:\.[\w-]{0,4096})?)"
)
PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----(?:(?!-----BEGIN)[\s\S]){0,20000}?(?:-----END [A-Z ]{0,40}-----|\Z)"
AUTHORIZATION = r"\b(?:[Bb]earer|[Bb]asic) (?P<number>[A-Za-z0-9+/=._~-]{16,4096})"
IN_ADDRESS = r"://[^\s/:@]{1,64}:(?P<number>[^\s/@]{1,128})@"  # https://user:password@host
LONG = r"(?<![\w+/=.-])[A-Za-z0-9_+/-]{24,512}={0,2}(?![\w+/=])"
HEX = r"(?<![\w-])(?=[a-f]{0,40}\d)(?=\d{0,40}[a-f])[0-9a-f]{32,128}(?![\w-])"
VALUE = r"""(?P<number>[!#-&(-+\--:<-~]{4,128})"""  # ASCII without spaces, quotation marks, commas and semicolons
BITS = 3.6  # per character: words and paths that are joined have less than random letters


@dataclass(frozen=True)
class Masked:
    """A text whose `codes` say what was masked in it, one for each place."""

    text: str
    codes: tuple[str, ...]


def mask(text: str) -> Masked:
    """The text with placeholders, in its language, for what must not be learnt."""
    parts, codes, end = [], [], 0
    for one in find(text, KINDS):
        parts += [text[end : one.start], placeholder(one.code, text)]
        codes.append(one.code)
        end = one.end
    return Masked("".join([*parts, text[end:]]), tuple(codes))


def speaks_of_health(text: str) -> bool:
    """Whether a text may say something of somebody's health: a person has to look at it before it is learnt."""
    return HEALTH.search(half_width(text)) is not None


def is_random(text: str) -> bool:
    """Whether a run of characters is one that nobody would write by hand: letters of both cases with digits among them, by chance (Shannon's
    entropy). Names of programs have their few digits at the end."""
    if len(digits(text.rstrip("0123456789"))) < 2 or text.lower() == text or text.upper() == text:
        return False
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares) >= BITS


def _is_value(match: re.Match[str]) -> bool:
    """Whether what follows «the password is» is one, and no word: it has a digit, a sign or a capital inside, or stands after a colon or an equals sign."""
    value, before = match["number"], match.string[match.start() : match.start("number")]
    if re.fullmatch(r"[a-z]+[.!?:]*|[A-Z]?[a-z]+[.!?:]*", value) is None:
        return re.fullmatch(r"[^A-Za-z0-9]+", value) is None
    return bool(re.search(r"[:=]\s*$", before)) and len(value) >= 8


def _is_address(match: re.Match[str]) -> bool:
    """Whether it is the address of a machine, and not this one's own, a mask, a version or the number of a section such as 6.2.4.1."""
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return False
    named = VERSION.search(match.string, max(0, match.start() - 12), match.start())
    section = re.fullmatch(r"\d(?:\.\d){3}", match[0])
    return not (address.is_loopback or address.is_unspecified or match[0].startswith("255.") or named or section)


def _is_routing_number(match: re.Match[str]) -> bool:
    """Whether the check digit of an ABA routing number holds (weights 3, 7, 1; modulo 10)."""
    number = match["number"]
    return sum(weight * int(digit) for weight, digit in zip((3, 7, 1) * 3, number, strict=True)) % 10 == 0


def _any(name: str) -> str:
    """A regular expression of what any language says under that name."""
    return "|".join(getattr(language, name) for language in languages().values())


VERSION = re.compile(rf"(?:{_any('VERSION')})[ .]?$", re.IGNORECASE)


EVERYWHERE: list[Kind] = [
    (SECRET, PRIVATE_KEY, None),
    (SECRET, PREFIXED, None),
    (SECRET, AUTHORIZATION, None),
    (SECRET, IN_ADDRESS, None),
    (SECRET, rf"(?i:{_any('SECRET')})['\"’]?\s{{0,3}}(?:{_any('SECRET_IS')}|[:=→])\s{{0,3}}[\"'「『(]?" + VALUE, _is_value),
    (SECRET, LONG, lambda match: is_random(match[0])),
    (SECRET, HEX, None),
    (MACHINE, r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)", _is_address),
    (MACHINE, r"(?<![\w:.])(?=[A-Fa-f:]{0,30}\d)[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", _is_address),
    (MACHINE, r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])", None),
    (
        "private.email",
        r"(?<![\w.+-])[\w.+-]{1,64} ?(?:\(at\)|\[at\]|\{at\}) ?[\w-]{1,63}(?: ?(?:\.|\(dot\)|\[dot\]) ?[\w-]{2,24}){1,4}",
        None,
    ),
    (
        "private.account",
        r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b",
        lambda m: iban_holds(re.sub(r"[ -]", "", m[0]).upper()),
    ),
    ("private.account", r"(?i:routing|\baba\b)[^\d\n]{0,20}(?P<number>\d{9})(?!\d)", _is_routing_number),
    ("private.phone", r"(?<![\d.-])00\d{1,3}(?:[ -]\(?\d{1,4}\)?){2,5}(?!\d)", lambda m: 9 <= len(digits(m[0])) <= 17),
]


KINDS = [*PATTERNS, *compiled([*EVERYWHERE, *(kind for language in languages().values() for kind in language.NOT_LEARNT)])]
HEALTH = re.compile(_any("HEALTH"))
