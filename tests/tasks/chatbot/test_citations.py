"""Support of sentences by sources, kind by kind in both languages, and questions that point back."""

import time

import pytest

from tasks.chatbot.citations import cite, support
from tasks.chatbot.events import Source
from tasks.chatbot.settings import ChatSettings
from tasks.text.sentences import sentences


def source(number, text):
    return Source(number, f"c{number}", "d.md", "t", "h", text, "en", 1.0)


LEAST = ChatSettings().support
HARBOUR = (
    "The Harbour Bridge, which was designed by John Bradfield, opened on 19 March 1932 and cost £6,250,000. It carries about 160,000 vehicles a day. "
    "The Tunnel was opened in August 1992 to relieve the Bridge. Trucks heavier than 4.5 tonnes must not use the inner lanes before 6 am. "
    "In 2010 Sydney defeated Melbourne by 12 points, and in 2012 Melbourne defeated Brisbane by 3 points. "
    "The temperature fell to -5 °C at night and rose to 12 °C at noon. At least 20 people were hurt, but nobody died. Crossing on foot is possible."
)
BAY = (
    "湾岸道路は、1997年12月18日に開通した延長15.1kmの有料道路である。建設費は約1兆4,400億円であった。通行料金は普通車で3,140円だが、ETC搭載車は800円である。"
    "2010年の決勝では鹿島が清水を2対1で破り、2011年にはFC東京が京都に勝った。12歳以下の子どもは無料で、65歳以上は半額となる。"
    "最低気温は-5度、最高気温は12度だった。会員でない人は入場できない。田中は佐藤より年上である。入場は可能である。"
)
TRUE = {
    "verbatim": ("It carries about 160,000 vehicles a day.", "田中は佐藤より年上である。"),
    "a clause dropped": ("The Harbour Bridge opened on 19 March 1932.", "湾岸道路は、延長15.1kmの有料道路である。"),
    "the end dropped": ("In 2010 Sydney defeated Melbourne by 12 points.", "2010年の決勝では鹿島が清水を2対1で破った。"),
    "the beginning dropped": ("In 2012, Melbourne defeated Brisbane by 3 points.", "65歳以上は半額となる。"),
    "two joined": (
        "The temperature fell to -5 °C at night and at least 20 people were hurt.",
        "湾岸道路は延長15.1kmの有料道路で、建設費は約1兆4,400億円であった。",
    ),
    "subject of the sentence before": (
        "The Harbour Bridge carries about 160,000 vehicles a day.",
        "湾岸道路の建設費は約1兆4,400億円であった。",
    ),
    "figures": ("It carries about １６００００ vehicles a day.", "ETC搭載車は８００円である。"),
    "numbers in words": ("At least twenty people were hurt.", "十二歳以下の子どもは無料である。"),
    "multiples": ("The Harbour Bridge cost £6.25 million.", "建設費は約1兆4400億円であった。"),
    "sign in words": ("The temperature fell to minus 5 °C at night.", "最低気温はマイナス5度だった。"),
    "unit spelled": (
        "Trucks heavier than 4.5 t must not use the inner lanes before 6 am.",
        "湾岸道路は延長15.1キロメートルの有料道路である。",
    ),
    "style": ("Trucks heavier than 4.5 tonnes mustn't use the inner lanes before 6 am.", "会員でない人は入場できません。"),
    "style of the past": ("However, nobody died.", "建設費は約1兆4,400億円でした。"),
    "spaces and punctuation": ("  At least 20 people   were hurt; nobody died!", "田中は、佐藤より 年上である"),
}
CHANGED = {
    "number absent": ("The Harbour Bridge opened on 19 March 1938.", "湾岸道路は、1998年12月18日に開通した。"),
    "number from elsewhere": ("The Harbour Bridge opened on 19 March 1992.", "通行料金は普通車で800円である。"),
    "number of another clause": ("In 2012 Sydney defeated Melbourne by 12 points.", "2010年にはFC東京が京都に勝った。"),
    "number of the other half": ("In 2010 Sydney defeated Melbourne by 3 points.", "最低気温は12度だった。"),
    "numbers in another order": (
        "The temperature fell to 12 °C at night and rose to -5 °C at noon.",
        "2010年の決勝では鹿島が清水を1対2で破った。",
    ),
    "magnitude": ("The Harbour Bridge cost £6,250.", "建設費は約4,400億円であった。"),
    "unit": ("The temperature fell to -5 °F at night.", "湾岸道路は延長15.1マイルの有料道路である。"),
    "currency": ("The Harbour Bridge cost $6,250,000.", "建設費は約1兆4,400億ドルであった。"),
    "what is counted": ("At least 20 vehicles were hurt.", "湾岸道路は、1997年12月18回に開通した。"),
    "sign": ("The temperature fell to 5 °C at night.", "最低気温は5度だった。"),
    "sign added": ("The temperature rose to -12 °C at noon.", "最高気温は-12度だった。"),
    "names swapped": ("In 2010 Melbourne defeated Sydney by 12 points.", "2010年の決勝では清水が鹿島を2対1で破った。"),
    "common names swapped": ("The Bridge was opened in August 1992 to relieve the Tunnel.", "佐藤は田中より年上である。"),
    "part played swapped": ("In 2010 Sydney was defeated by Melbourne by 12 points.", "2010年の決勝では鹿島を清水が2対1で破った。"),
    "name of another sentence": ("Sydney opened on 19 March 1932.", "2011年には鹿島が京都に勝った。"),
    "subject of another sentence": ("The Tunnel carries about 160,000 vehicles a day.", "湾岸道路は65歳以上は半額となる。"),
    "negation dropped": ("Trucks heavier than 4.5 tonnes must use the inner lanes before 6 am.", "会員でない人は入場できる。"),
    "negation added": ("The Harbour Bridge never opened on 19 March 1932.", "12歳以下の子どもは無料ではない。"),
    "negation by a prefix": ("Crossing on foot is impossible.", "入場は不可能である。"),
    "negation elsewhere": ("At least 20 people were not hurt, but somebody died.", "会員は入場できない。"),
    "less for more": ("At most 20 people were hurt.", "65歳以下は半額となる。"),
    "bound dropped": ("20 people were hurt.", "65歳は半額となる。"),
    "bound nearby": ("More than 20 people were hurt.", "12歳未満の子どもは無料である。"),
    "lighter for heavier": ("Trucks lighter than 4.5 tonnes must not use the inner lanes before 6 am.", "田中は佐藤より年下である。"),
    "after for before": ("Trucks heavier than 4.5 tonnes must not use the inner lanes after 6 am.", "2011年にはFC東京が京都に敗れた。"),
    "the other clause's end": ("At least 20 people died.", "12歳以下の子どもは半額となる。"),
    "a clause added": (
        "It carries about 160,000 vehicles a day and is made of pure gold.",
        "田中は佐藤より年上で、東京の商社に勤めている。",
    ),
}


@pytest.mark.parametrize("evidence", [HARBOUR, BAY], ids=["en", "ja"])
@pytest.mark.parametrize("kind", TRUE)
def test_a_true_sentence_is_supported_however_it_is_written(kind, evidence):
    assert support(TRUE[kind][evidence is BAY], evidence) >= LEAST


@pytest.mark.parametrize("evidence", [HARBOUR, BAY], ids=["en", "ja"])
@pytest.mark.parametrize("kind", CHANGED)
def test_a_sentence_that_claims_something_else_is_not(kind, evidence):
    assert support(CHANGED[kind][evidence is BAY], evidence) < LEAST


@pytest.mark.parametrize(
    ("sentence", "evidence", "supported"),
    [
        ("The tower stands in Paris and is 90 metres high.", "The tower stands in Paris. The tower is 90 metres high.", True),
        ("Alice beat Bob and won the cup in 1902.", "Alice beat Bob. Bob won the cup in 1902.", False),
        ("東京は日本の首都で、人口が多い。", "東京は日本の首都である。東京は人口が多い。", True),
        ("田中は佐藤に勝ち、1902年に引退した。", "田中は佐藤に勝った。佐藤は1902年に引退した。", False),
    ],
)
def test_a_sentence_goes_on_with_the_next_ones_subject_where_it_is_the_same(sentence, evidence, supported):
    assert (support(sentence, evidence) >= LEAST) == supported


@pytest.mark.parametrize("evidence", [HARBOUR, BAY], ids=["en", "ja"])
def test_every_sentence_supports_itself_in_any_width(evidence):
    for sentence in sentences(evidence):
        wide = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in sentence)
        for written in (sentence, f" {sentence} ", sentence.rstrip(".。"), f"{sentence} [1]", wide):
            assert support(written, evidence) == 1.0, written


@pytest.mark.parametrize(
    ("sentence", "evidence", "supported"),
    [
        ("The tower is 90 metres high.", "In 1901 the tower, which is 90 metres high, was painted.", True),
        ("The moon is made of cheese.", "In 1901 the tower, which is 90 metres high, was painted.", False),
        ("温度を上げると出力が多様になります。", "温度を上げると、出力が多様になります。下げると安定します。", True),
        ("第17回大会は東京で開かれた。", "第16回大会は、東京で開かれた。", False),
        ("量子化は重みを圧縮します。", "温度を上げると、出力が多様になります。", False),
        ("The files take 5 MB.", "The files take 5 Mb.", False),
        ("それはできます。", "それはできます。", True),
        ("それはできません。", "それはできます。", False),
    ],
)
def test_a_sentence_is_supported_by_the_words_and_the_numbers_of_a_chunk(sentence, evidence, supported):
    assert (support(sentence, evidence) >= LEAST) == supported


@pytest.mark.parametrize(
    ("sentence", "evidence", "heading"),
    [
        ("The Eiffel Tower was built in 1889.", "It was built in 1889.", "Eiffel Tower"),
        ("東京塔は1958年に建てられた。", "1958年に建てられた。", "東京塔"),
    ],
)
def test_a_subject_may_come_from_the_heading(sentence, evidence, heading):
    assert support(sentence, evidence, heading) >= LEAST > support(sentence, evidence)
    assert support(sentence, evidence.replace("It", "The Louvre").replace("1958", "美術館は1958"), heading) < LEAST


@pytest.mark.parametrize(
    "text",
    [
        "test " * 400,
        "猫" * 600,
        "九" * 5000,
        "9" * 5000 + "万",
        "9" * 400 + " million",
        "-",
        "[1]",
        "not",
        "ない",
        "$",
        "1,",
        "\u0663 ²½①",
        "twenty " * 300,
    ],
)
def test_degenerate_texts_are_read_in_time(text):
    start = time.thread_time()
    for sentence, evidence in ((text, HARBOUR), (text, f"a {text} b. {BAY}"), ("It carries 160,000 vehicles.", text)):
        assert 0.0 <= support(sentence, evidence, text) <= 1.0
    assert time.thread_time() - start < 5


def test_the_best_source_comes_first_and_the_models_own_marks_prove_nothing():
    sources = [source(1, "Cats sleep a lot during the day, some say."), source(2, "Cats sleep a lot.")]
    first, second = cite("Cats sleep a lot [1]. Dogs write novels at night [2].", sources, LEAST)
    assert (
        first.text == "Cats sleep a lot." and first.supported and set(first.cites) == {1, 2} and not second.supported and second.cites == ()
    )


def test_no_sentences_no_citations():
    assert cite("", [source(1, "x")], LEAST) == [] and support("", "x") == 0.0 and support("。!?", "x") == 0.0
