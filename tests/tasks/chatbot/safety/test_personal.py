"""Personal data: what is found, what is left alone, and that only what the user did not bring is taken out."""

from itertools import pairwise

import pytest

from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.personal import find, iban_holds, luhn_holds, redact
from tasks.chatbot.safety.settings import GuardSettings
from tasks.text.languages.ja.safety import my_number_holds

CARD, MY_NUMBER = "4111 1111 1111 1111", "1234-5678-9018"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to taro.yamada+x@example.co.jp today.", "Write to [email] today."),
        ("連絡先はtaro@example.jpです。", "連絡先は[メールアドレス]です。"),
        ("電話は03-1234-5678、携帯は090-1234-5678です。", "電話は[電話番号]、携帯は[電話番号]です。"),
        ("電話は０９０－１２３４－５６７８です。", "電話は[電話番号]です。"),
        ("Call +44 20 7946 0958 or (212) 555-0143.", "Call [phone number] or [phone number]."),
        (f"Card {CARD}, thanks.", "Card [card number], thanks."),
        (f"マイナンバーは{MY_NUMBER}です。", "マイナンバーは[マイナンバー]です。"),
        ("My SSN is 123-45-6789.", "My SSN is [social security number]."),
        ("Pay to GB82 WEST 1234 5698 7654 32 please", "Pay to [account number] please"),
        ("口座番号は1234567です。", "口座番号は[口座番号]です。"),
        ("パスポートはTK1234567です。", "パスポートは[旅券番号]です。"),
        ("住所は〒100-0001 東京都千代田区千代田1-1です。", "住所は[住所]です。"),
        ("He lives at 221 Baker Street, London.", "He lives at [address]."),
    ],
)
def test_personal_data_become_placeholders(text, clean):
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "The order 4111 1111 1111 1112 was sent.",  # no check digit of a card
        "注文番号は123456789012です。",  # none of My Number
        "It ran from 2024-01-02 to 2025-11-25, at 202511250140.",
        "GPT-3 has 175,000,000,000 parameters and 96 layers.",
        "pi is 3.141592653589793 and e is 2.718281828459045",
        "ISBN 978-4-87311-946-6",
        "フリーダイヤルは0120-123-456です。",
        "user@localhost runs python 3.11.7 on 127.0.0.1",
        "東京都は日本の首都です。大阪府の人口は約880万人です。",
        "Version AB1234567 of the part",
        "",
    ],
)
def test_other_numbers_stay(text):
    assert redact(text) == text


def test_check_digits():
    assert luhn_holds("4111111111111111") and not luhn_holds("4111111111111112")
    assert my_number_holds("123456789018") and not my_number_holds("123456789019")
    assert sum(my_number_holds(f"12345678901{digit}") for digit in range(10)) == 1
    assert iban_holds("GB82WEST12345698765432") and not iban_holds("GB82WEST12345698765433")


def test_what_the_question_or_the_sources_hold_is_no_leak():
    answer = "Write to help@example.com or to boss@example.com."
    assert redact(answer, known="Our desk: HELP@example.com") == "Write to help@example.com or to [email]."
    guard = Guard()
    assert guard.check_output(answer, known=answer).code == ""
    assert redact("Call 090 1234 5678", known="電話は090-1234-5678です。") == "Call 090 1234 5678"


def test_an_answer_is_cleaned_blocked_or_left_as_set():
    answer = f"The card is {CARD}."
    redacting, blocking, off = (Guard(GuardSettings(personal=choice)) for choice in ("redact", "block", "off"))
    decision = redacting.check_output(answer)
    assert (decision.blocked, decision.code) == (False, "private.card")
    assert redacting.clean_output(answer) == "The card is [card number]."
    assert blocking.check_output(answer).blocked
    assert off.check_output(answer).code == "" and off.clean_output(answer) == answer


def test_found_stretches_are_in_order_and_do_not_overlap():
    text = f"a@b.co {CARD} 090-1234-5678 c@d.org " * 20
    found = find(text)
    assert len(found) == 80
    assert all(one.end <= other.start for one, other in pairwise(found))
