"""The one exception for what a user can mend."""


class MigakiError(Exception):
    """The message names the bad value, where it came from and what would be accepted; it is shown without a traceback."""
