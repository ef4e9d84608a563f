"""English, as questions put it that tools answer: numbers, times, places, and what a question has in common with a tool."""

import re

FIGURE = r"[0-9\uff10-\uff19][0-9\uff10-\uff19.,]*"

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 10**3}
PERCENT = "percent"
LONE = ""
WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "dozen": 12,
}
WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.I)

SENTENCES: list[tuple[str, str]] = []
SPOKEN = {
    "unit": [(rf"({FIGURE})\s*(?:yen\b|dollars?\b)", r"\1")],
    "percent": [(rf"({FIGURE})\s*percent", r"\1%")],
    "root": [(rf"(?:the )?square root of\s+({FIGURE})", r"sqrt(\1)")],
    "square": [(rf"({FIGURE})\s+squared", r"\1**2")],
    "cube": [(rf"({FIGURE})\s+cubed", r"\1**3")],
    "raise": [(r"\s+to the power of\s+", "**")],
    "times": [(r"\s+(?:multiplied by|times)\s+", "*")],
    "divide": [(r"\s+divided by\s+", "/")],
    "plus": [(r"\s+plus\s+", "+")],
    "minus": [(r"\s+minus\s+", "-")],
    "remainder": [(r"\s+(?:mod|modulo)\s+", " % ")],
}
LEAD = (
    "please|ok(?:ay)?|hey|hi|so|and|then|now|also|can you|could you|tell me|calculate|compute|evaluate|work out|solve|"
    "what(?:'s|’s| is| are)|how much (?:is|are)|the (?:result|value|answer|product|sum)(?: of)?|give me|find"
)
AFTER_LEAD = ":,"
BEFORE_EQUALS, AFTER_EQUALS = r"(?:\s+(?:please|for me|equals?|is))*", ""
CLAUSE = r"\s+and\s+(?=[^a-z]|what|calc|comp|sq)"

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ZONES = {
    "Asia/Tokyo": (
        "tokyo",
        "japan",
    ),
    "Europe/London": (
        "london",
        "england",
        "uk",
    ),
    "Europe/Paris": (
        "paris",
        "france",
    ),
    "Europe/Berlin": (
        "berlin",
        "germany",
    ),
    "America/New_York": ("new york",),
    "America/Los_Angeles": (
        "los angeles",
        "san francisco",
        "california",
    ),
    "America/Sao_Paulo": (
        "sao paulo",
        "brazil",
    ),
    "Asia/Singapore": ("singapore",),
    "Asia/Shanghai": (
        "shanghai",
        "beijing",
        "china",
    ),
    "Asia/Seoul": (
        "seoul",
        "korea",
    ),
    "Asia/Kolkata": (
        "delhi",
        "mumbai",
        "india",
    ),
    "Australia/Sydney": ("sydney",),
    "UTC": (
        "utc",
        "gmt",
    ),
}
ASKS_TIME = (
    r"\b(what('?s| is) the (current |local )?(time|date)|what (time|day|date) is it|what day (of the week )?is (it|today)|current (time|date)|"
    r"(time|date) (right )?now|today'?s date|what('?s| is) today)\b"
)

ASKS_WEATHER = (
    r"\b(weather|forecast|temperature)\b(?! (service|api|app|model|data|param|sampling))|\b(is|will) it (be )?(rain|snow|sunn?|cloud|hot|cold|warm)\w*|"
    r"\bhow (hot|cold|warm) (is|will)\b"
)
PLACE = re.compile(
    r"\b(?:in|for|at|of)\s+([A-Z][\w'’-]*(?: (?:de |la |of )?[A-Z][\w'’-]*)*(?:(?:,| and|, and) [A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*)*)"
)
# Lower case counts where nothing but the weather can be meant: elsewhere it is «temperature in sampling».
PLACE_LOWER = re.compile(
    r"\b(?:weather|forecast)\b(?: like)?(?: (?:today|tomorrow))? (?:in |for |at )?([a-z][a-z '’-]*?)(?= today| tomorrow| tonight| right| now| on |[?.!,]|$)"
)
AND = r"\band\b|\bor\b"
NO_PLACE = r"the\b.*|is|will|like|here|there|today|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday|celsius|fahrenheit"
PLACE_ENDING = "(?!)"
DAYS_AHEAD = {2: "day after tomorrow", 1: "tomorrow", 0: "today|tonight"}
CITY_COLUMN = "city"
SKY = {
    0: "clear",
    2: "fair",
    3: "cloudy",
    48: "fog",
    57: "drizzle",
    67: "rain",
    77: "snow",
    82: "showers",
    86: "snow showers",
    99: "thunderstorm",
}
UNKNOWN_SKY = "unknown"
FORECAST, NOW = "{place} on {day}: {sky}, {low:g} to {high:g} °C{now}.", ", {current:g} °C now"
MEAN = "{city} has a mean temperature of about {mean:g} °C in {day:%B} (long-term mean, not a forecast)."

ASKS_WEB = (
    r"^(?:please |can you |could you )*(?:(?:do a )?(?:web|internet|online) search (?:for|on|about)|"
    r"(?:search|look|check|browse)(?: up)?(?: on)? (?:the )?(?:web|internet|online)(?: for| about)?|google(?: for)?)\s+(.+?)[.?!]*$|"
    r"^(?:search|look) (?:for|up) (.+?) (?:on the (?:web|internet)|online)[.?!]*$"
)
ASKS_DOCUMENTS = (
    r"^(?:please |can you |could you )*(?:search|look|check|find)(?: through| in| up)? (?:the |our |my )?(?:documents?|docs|files|index|knowledge base)(?: for| about)?\s+(.+?)[.?!]*$|"
    r"^(?:search|look) (?:for|up) (.+?) in (?:the |our |my )?(?:documents?|docs|files|index|knowledge base)[.?!]*$"
)
AROUND_QUERY = " "

CONTENT = None
GENERAL = OPEN = re.compile("(?!)")
STOP_WORDS = (
    "a an the of for in on at to and or with by from is are be was were what which who how when where why do does did can could would "
    "should will i me my you your it its this that these those as if into over than then there their they we our us he she his her please "
    "need want like get find give tell show calculate compute determine retrieve return fetch given using use based specific provided "
    "value function optional default s t"
)
RELEVANCE = {"bias": -2.49, "name": 1.84, "description": 2.27, "question": 1.01, "numbers": -2.24, "lift": 0.94}

Copying = None  # the models that are used write English well enough to give a call's arguments


def plain_figures(text: str) -> str:
    return text


def words_to_figures(text: str) -> str:
    return text


def numbers_in_words(text: str) -> list[int]:
    return [WORDS[word.lower()] for word in WORD.findall(text)]


def places(question: str) -> list[str]:
    return PLACE.findall(question) or PLACE_LOWER.findall(question)
