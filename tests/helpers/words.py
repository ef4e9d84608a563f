"""Subjects to write rows and documents of."""

WORDS = "river stone lantern garden winter copper violin harbour meadow falcon thunder pocket ribbon saddle candle marble".split()
KANJI = "川石灯庭冬銅琴港野鷹雷袋帯鞍蝋玉"


def subject(i: int) -> tuple[str, str]:
    """(word, kanji) of row i: rows differ enough to be no near duplicates."""
    return (
        f"{WORDS[i % 16]} {WORDS[(i * 7 + i // 16 + 3) % 16]} number {i * 37}",
        f"{KANJI[i % 16]}と{KANJI[(i * 7 + i // 16 + 3) % 16]}の{i * 37}番",
    )
