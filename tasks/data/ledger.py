"""The account of prepare: how many rows were kept, of which kind, split, language and file, and every row that was not, with the reason."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tasks.data.accounts import Account
from tasks.data.records import Instruction


class Ledger:
    """Counts of what was kept, and the rows that were not with the reason.

    Attributes:
        kept: records by (kind, split, lang).
        dropped: rows for the file of dropped rows.
        accounts: of the files of rows, in the order in which they were read.
    """

    def __init__(self) -> None:
        self.kept: Counter[tuple[str, str, str]] = Counter()
        self.dropped: list[dict[str, Any]] = []
        self.accounts: list[Account] = []
        self._account_of: dict[int, Account] = {}  # by identity: two files may have one name, and two rows say the same

    def came_from(self, account: Account, records: Iterable[Any]) -> None:
        """These records are rows of that file: what becomes of them is counted there."""
        for record in records:
            account.read += 1
            self._account_of[id(record)] = account

    def drop(self, kind: str, source: str, line: int, reason: str, detail: str, row: str, lang: str = "") -> None:
        self.dropped.append({"kind": kind, "source": source, "line": line, "reason": reason, "detail": detail, "lang": lang, "row": row})

    def drop_records(self, kind: str, dropped: Iterable[tuple[Any, str, str]]) -> None:
        for record, reason, detail in dropped:
            self._account_of[id(record)].dropped[reason] += 1
            self.drop(kind, record.source, 0, reason, detail, json.dumps(asdict(record), ensure_ascii=False), record.lang)

    def keep(self, kind: str, split: str, records: Iterable[Any]) -> None:
        for record in records:
            self.kept[kind, split, record.lang] += 1
            account = self._account_of[id(record)]
            account.kept[split] += 1
            if split == "train" and isinstance(record, Instruction):
                account.turns += 1 + sum(message["role"] == "assistant" for message in record.messages)

    def rows(self) -> list[dict[str, Any]]:
        """Rows for the catalog table `datasets`."""
        counts = Counter((row["kind"], row["lang"], row["reason"]) for row in self.dropped)
        kept = [
            {"kind": kind, "split": split, "lang": lang, "reason": "", "rows": n} for (kind, split, lang), n in sorted(self.kept.items())
        ]
        return kept + [
            {"kind": kind, "split": "", "lang": lang, "reason": reason, "rows": n} for (kind, lang, reason), n in sorted(counts.items())
        ]
