"""What may be learnt of chats: secrets, addresses of machines and personal data are masked, words about health hold a turn back."""

import time

import pytest

from tasks.chatbot.safety.learning import is_random, mask, speaks_of_health

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nbm90IGEga2V5\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Use sk-proj-abcDEF1234567890abcdEFGH here", "Use [secret] here"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a is mine", "[secret] is mine"),
        ("AWS: AKIAIOSFODNN7EXAMPLE", "AWS: [secret]"),
        ("it is wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLE9KEY.", "it is [secret]."),
        ("The password is hunter2, thanks", "The password is [secret], thanks"),
        ("password: correcthorse", "password: [secret]"),
        ("PIN: 4711", "PIN: [secret]"),
        ("パスワードはSakura2024!です。", "パスワードは[秘密の情報]です。"),
        ("暗証番号：１２３４にしました。", "暗証番号：[秘密の情報]にしました。"),
        ("APIキーは「9f86d081884c7d659a2feaa0c55ad015」です", "APIキーは「[秘密の情報]」です"),
        ("curl -H 'Authorization: Bearer abcdefghijklmnop1234'", "curl -H 'Authorization: Bearer [secret]'"),
        ("see https://admin:s3cr3t@db.example.com/x", "see https://admin:[secret]@db.example.com/x"),
        (f"Here: {KEY} bye", "Here: [secret] bye"),
        ("The host 192.168.10.24 and 2001:db8::8a2e:370:7334", "The host [network address] and [network address]"),
        ("サーバは１０．０．０．５です。", "サーバは[ネットワークアドレス]です。"),
        ("It has 00:1A:2B:3C:4D:5E.", "It has [network address]."),
        ("JCBは３５３０１１１３３３３０００００です。", "JCBは[カード番号]です。"),
        ("Pay gb82west12345698765432 please", "Pay [account number] please"),
        ("The routing number 021000021 is ours", "The routing number [account number] is ours"),
        ("渋谷支店 普通 1234567です。", "渋谷支店 普通 [口座番号]です。"),
        ("Call me at 555 123 4567, please", "Call me at [phone number], please"),
        ("ring 020 7946 0958 today", "ring [phone number] today"),
        ("電話は０３（１２３４）５６７８です。", "電話は[電話番号]です。"),
        ("携帯は080ー1111ー2222です。", "携帯は[電話番号]です。"),
        ("I live at 12B High Street, Flat 3 since May", "I live at [address] since May"),
        ("Send it to PO Box 123 in Leeds", "Send it to [address] in Leeds"),
        ("横浜市西区みなとみらい2ー3ー1に住んでいます。", "[住所]に住んでいます。"),
        ("東京都港区芝公園四丁目二番八号です。", "[住所]です。"),
        ("taro [at] example [dot] com wrote", "[email] wrote"),
    ],
)
def test_what_must_not_be_learnt_becomes_placeholders(text, clean):
    assert mask(text).text == clean
    assert len(mask(text).codes) == clean.count("[") and mask(clean).text == clean


@pytest.mark.parametrize(
    "text",
    [
        "The password is required for login, and the token is optional.",
        "パスワードは必ず変更してください。",
        "Section 6.2.4.1 says that version 1.2.3.40 runs on 127.0.0.1 with mask 255.255.255.0 at 12:30:45",
        "The file src/tasks/chatbot/safety/personal_data_and_more_things.py has std::vector",
        "It took 1,234,567 yen from 2024-05-01 to 2024-05-03, 24 hours a day.",
        "第1回は2024年5月1日から3日まで、参加費は12,000円です。",
        "The order 4111 1111 1111 1112 was sent.",
        "Flow 550e8400-e29b-41d4-a716-446655440000 has ended.",
        "",
    ],
)
def test_other_words_and_numbers_stay(text):
    assert mask(text).text == text and mask(text).codes == ()


@pytest.mark.parametrize(
    "text",
    [
        "I was diagnosed with depression.",
        "My wife is pregnant, may I work from home?",
        "Tom is HIV positive.",
        "うつ病で通院しています。",
        "娘の症状について教えてください。",
        "糖尿病の薬を飲んでいます。",
        "ＨＩＶの検査を受けた。",
    ],
)
def test_words_about_health_are_told(text):
    assert speaks_of_health(text)


@pytest.mark.parametrize(
    "text",
    ["How do I book a health check?", "What aids learning?", "健康診断の予約方法は?", "病気休暇は何日ありますか。", "The disk is full."],
)
def test_other_questions_do_not_speak_of_health(text):
    assert not speaks_of_health(text)


def test_random_letters_are_told_from_words():
    assert is_random("wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLE9KEY")
    assert not is_random("ThisIsTheNameOfAVeryLongClass2") and not is_random("a" * 40)


@pytest.mark.alone
@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "a",
        "A1",
        "-",
        "@",
        ".",
        " ",
        "漢",
        "〒",
        "市",
        "12-",
        "at [at] ",
        "password:",
        "-----BEGIN PRIVATE KEY-----",
        "eyJaaaaaaaa.",
        "::",
        "\n",
    ],
)
def test_time_grows_with_the_length(unit):
    """A pattern that goes back and forth would take minutes."""
    text = (unit * 20_000)[:20_000]
    begun = time.monotonic()
    mask(text)
    assert time.monotonic() - begun < 3
