"""English, as claims are compared: numbers with their units, comparisons, negations, and words that carry no claim."""

import re

_SPELLED = {
    "km": "kilometre kilometres kilometer kilometers",
    "m": "metre metres meter meters",
    "cm": "centimetre centimetres centimeter centimeters",
    "mm": "millimetre millimetres millimeter millimeters",
    "kg": "kilogram kilograms kilo kilos kilogramme kilogrammes",
    "g": "gram grams gramme grammes",
    "mg": "milligram milligrams",
    "t": "ton tons tonne tonnes",
    "l": "litre litres liter liters",
    "mi": "mile miles",
    "ft": "foot feet",
    "in": "inch inches",
    "yd": "yard yards",
    "lb": "pound pounds lbs",
    "oz": "ounce ounces",
    "ha": "hectare hectares",
    "acre": "acre acres",
    "%": "% percent",
    "°C": "celsius °c",
    "°F": "fahrenheit °f",
    "degree": "degree degrees",
    "K": "kelvin kelvins",
    "$": "dollar dollars usd",
    "cent": "cent cents",
    "€": "euro euros eur",
    "£": "gbp",
    "¥": "yen jpy",
    "ms": "millisecond milliseconds",
    "s": "second seconds sec secs",
    "min": "minute minutes mins",
    "h": "hour hours hr hrs",
    "d": "day days",
    "week": "week weeks",
    "month": "month months",
    "y": "year years yr yrs",
    "decade": "decade decades",
    "kB": "kilobyte kilobytes KB",
    "MB": "megabyte megabytes",
    "GB": "gigabyte gigabytes",
    "TB": "terabyte terabytes",
    "byte": "byte bytes",
    "bit": "bit bits",
    "W": "watt watts",
    "kW": "kilowatt kilowatts",
    "MW": "megawatt megawatts",
    "V": "volt volts",
    "Hz": "hertz",
    "time": "time times",
    "th": "st nd rd th",
    "am": "AM a.m. A.M.",
    "pm": "PM p.m. P.M.",
    "BC": "BCE bce B.C. B.C.E.",
    "AD": "CE A.D. C.E.",
}
UNITS = {spelled: name for name, words in _SPELLED.items() for spelled in [name, *words.split()]}
_SPACED = "|".join(sorted((re.escape(word) for word in UNITS if word not in ("in", "st", "nd", "rd", "th")), key=len, reverse=True))
# Letters right behind a number are its unit whatever they are; after a space or a hyphen, only those that are known.
UNIT = rf"%|°?[A-Za-zµΩ]+[23]?(?:/[A-Za-z]+[23]?)?(?![A-Za-z0-9])|(?:\s|-)?(?i:per\s?cent)\b|(?:\s|-)(?i:(?:square |cubic )?(?:{_SPACED})(?: per (?:hour|second|minute))?)(?![A-Za-z0-9])"

_B = r"(?<![A-Za-z])"
_E = r"(?![A-Za-z])"
_OPPOSED = (  # each word with those that say the other thing in its place
    "more fewer less most least fewest|larger smaller bigger largest smallest biggest large small big|higher lower highest lowest high low|"
    "longer shorter longest shortest long short taller tallest tall|greater lesser greatest|older younger newer oldest youngest newest old young new|"
    "earlier later earliest latest early late|faster slower fastest slowest fast slow quickly slowly|stronger weaker strongest weakest strong weak|"
    "heavier lighter heaviest lightest heavy light|hotter colder hottest coldest hot cold warmer cooler warm cool|deeper shallower deep shallow|"
    "wider narrower widest narrowest wide narrow|better worse best worst good bad|nearer farther further closer nearest farthest closest near far|"
    "richer poorer rich poor|easier harder easy hard easiest hardest|cheaper dearer cheap expensive cheapest|thicker thinner thick thin|"
    "first last|former latter|above below over under|inside outside within beyond|"
    "increase increases increased increasing decrease decreases decreased decreasing|rise rises rose risen rising fall falls fell fallen falling|"
    "grow grows grew grown growing shrink shrinks shrank shrunk shrinking|gain gains gained lose loses lost|raise raises raised reduce reduces reduced|"
    "win wins won defeat defeats defeated|exceed exceeds exceeded exceeding|minimum maximum minimal maximal|top bottom|"
    "upper|majority minority|all some every each many few several both half twice double triple quarter|always often sometimes seldom rarely usually|"
    "only|same different|equal|north south east west northern southern eastern western|northeast northwest southeast southwest|left right|"
    "begin begins began begun start starts started end ends ended|open opens opened close closes closed|accept accepts accepted reject rejects rejected|"
    "allow allows allowed forbid forbids forbade forbidden prohibit prohibits prohibited|enable enables enabled disable disables disabled|"
    "positive negative|true false|public private|up down upward downward upwards downwards|import imports imported export exports exported|"
    "must may might should|possible|likely unlikely|partially partly completely entirely fully"
)
COMPARISONS = {
    rf"{_B}(?i:(?:no|not) (?:more|greater|larger|higher|longer|later) than|at (?:the )?most|up to|a maximum of){_E}": "<=",
    rf"{_B}(?i:(?:no|not) (?:fewer|less|lower|smaller|shorter|earlier) than|at (?:the )?least|a minimum of){_E}": ">=",
    rf"{_B}(?i:more than|(?:greater|larger|higher|longer) than(?=\W{{0,3}}\d)|over(?=\W{{0,3}}\d)|above(?=\W{{0,3}}\d)|in excess of|upwards of|exceeding(?=\W{{0,3}}\d)){_E}": ">",
    rf"{_B}(?i:fewer than|less than|(?:lower|smaller|shorter) than(?=\W{{0,3}}\d)|under(?=\W{{0,3}}\d)|below(?=\W{{0,3}}\d)){_E}": "<",
    rf"{_B}(?i:before|prior to){_E}": "before",
    rf"{_B}(?i:after){_E}": "after",
    rf"{_B}(?i:since){_E}": "since",
    rf"{_B}(?i:until|till){_E}": "until",
    rf"{_B}(?i:{'|'.join(sorted(set(_OPPOSED.replace('|', ' ').split()), key=len, reverse=True))}){_E}": "=",
}
NO_COMPARISON = rf"{_B}(?i:not only|no longer|before long|more or less|as well as|new (?=[A-Z])|last name|first name|at all|at last|at first|may(?= \d)){_E}"
BOUND_FOLLOWS = False
NEGATES_NEXT = rf"{_B}(?i:not|never|no|none|nobody|nothing|nowhere|neither|nor|without|cannot|hardly|barely|scarcely|lacks?|lacked|fails? to|failed to|unable to|refus(?:e|es|ed) to){_E}"
NEGATES_BEFORE = r"(?!)"
AGENT = rf"{_B}(?i:by){_E}"
ROLES = r"(?!)"
CLAUSE = rf"{_B}(?:and|but|or|which|who|whom|whose|that|where|while|whereas|although|though|because|when|if|so|then){_E}"
_SMALL = (
    "a an the of in on at to for from with as is are was were be been being am do does did done has have had having can could would will shall "
    "it its itself he him his himself she her hers herself they them their theirs themselves this these those there here that which who whom whose "
    "where when while whereas although though because if so then and or but than also too just very quite rather about around approximately roughly "
    "nearly almost into onto upon out off through against between among per via i me my we us our you your s t d ll re ve ca wo isn aren wasn weren "
    "don doesn didn hasn haven hadn couldn wouldn shouldn mustn what how why such however thus hence therefore moreover furthermore additionally "
    "according indeed still yet even well get gets got one's etc"
)
SMALL = frozenset(_SMALL.split())

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALLER = (
    {word: value for value, word in enumerate(_ONES.split())}
    | {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
    | {"dozen": 12}
)
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_NUMBER_WORD = "|".join(sorted([*_SMALLER, *_SCALES], key=len, reverse=True))
_ANY_NUMBER = re.compile(
    rf"(?<![\w-])(?:an? (?=(?:hundred|thousand|million|billion|dozen)\b))?(?:{_NUMBER_WORD})(?:(?:-| |(?<=hundred) and |(?<=thousand) and )(?:{_NUMBER_WORD}))*(?!\w)",
    re.I,
)
_SCALED = re.compile(r"(\d[\d,]*(?:\.\d+)?)[ -]?(thousand|million|billion|trillion)\b", re.I)
_MINUS = re.compile(r"\b(?:minus|negative) (?=[$€£¥]?\d)", re.I)
_ORDINAL_WORDS = (
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth "
    "nineteenth twentieth"
)  # first is compared as the opposite of last, and second is a unit too
_ORDINALS = {word: value for value, word in enumerate(_ORDINAL_WORDS.split(), 3)}
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS)})\b", re.I)
_SECOND = re.compile(r"\b((?:the|a|his|her|its|their) )second\b", re.I)
_NO_NUMBER = re.compile(r"\b(?:no one|one another|one of|any ?one|some ?one|every ?one)\b", re.I)
_SHORT_NOT = re.compile(r"\b([a-z]+)n't\b", re.I)
_IN_FULL = {"ca": "can", "wo": "will", "sha": "shall"}
_ENDING = re.compile(r"(?:'s|')$")
_SUFFIX = re.compile(r"(?<=[a-z]{3})(?:ies|ied|ing|ed|es|s|e|y|ly)$")


def figures(text: str) -> str:
    text = _SHORT_NOT.sub(lambda match: f"{_IN_FULL.get(match[1].lower(), match[1])} not", text.replace("\u2019", "'"))
    if not text.isascii() and not re.search("[a-z]", text, re.I):
        return text
    text = _ANY_NUMBER.sub(lambda match: _value(match[0]), _NO_NUMBER.sub(lambda match: match[0].replace("one", "1ne"), text))
    text = text.replace("1ne", "one")
    text = _SCALED.sub(_scaled, text)
    text = _ORDINAL.sub(lambda match: f"{_ORDINALS[match[1].lower()]}th", text)
    return _MINUS.sub("-", _SECOND.sub(r"\g<1>2th", text))


def _value(words: str) -> str:
    """Figures of number words; those that make no number together stay apart (nineteen ninety)."""
    total, below, last = 0, 0, 10**15
    parts = re.split(r"[-\s]+", words.lower())
    lone_scale = parts[0] in ("thousand", "million", "billion", "trillion") and len(parts) == 1
    if lone_scale:
        return words  # "5 million" and "millions of" are read elsewhere
    for part in parts:
        if part in ("a", "an", "and"):
            continue
        if part in _SCALES:
            scale = _SCALES[part]
            if scale == 100:
                below = (below or 1) * 100
            else:
                total, below = total + (below or 1) * scale, 0
            last = scale
        else:
            value = _SMALLER[part]
            if part != "dozen" and last < 100 and not (last >= 20 and value < 10):
                return " ".join(_value(one) for one in parts if one != "and")
            below = (below or 1) * 12 if part == "dozen" else below + value
            last = value if part != "dozen" else 100
    return str(total + below)


def _scaled(match: re.Match[str]) -> str:
    value = round(float(match[1].replace(",", "")) * _SCALES[match[2].lower()], 6)
    return f"{value:.0f}" if value.is_integer() else str(value)


def stem(word: str) -> str:
    if not word.isascii():
        return word
    word = _ENDING.sub("", word)
    stemmed = _SUFFIX.sub("", word)
    return stemmed[:-1] if len(stemmed) > 3 and stemmed[-1] == stemmed[-2] and stemmed != word else stemmed
