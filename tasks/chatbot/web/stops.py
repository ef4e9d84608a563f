"""Text that ends before any of the strings a client names, though pieces cut them anywhere."""


class StopAt:
    """Give it pieces, it gives back what may be shown; what could be the beginning of a stop string is held until that is known."""

    def __init__(self, strings: list[str]):
        self.strings, self.held, self.hit = strings, "", False

    def feed(self, piece: str) -> str:
        if self.hit:
            return ""
        self.held += piece
        ends = [place for string in self.strings if (place := self.held.find(string)) >= 0]
        if ends:
            shown, self.held, self.hit = self.held[: min(ends)], "", True
            return shown
        keep = max((n for string in self.strings for n in range(1, len(string)) if self.held.endswith(string[:n])), default=0)
        shown, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return shown

    def rest(self) -> str:
        """What was held when the text ended."""
        shown, self.held = self.held, ""
        return shown
