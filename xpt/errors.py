"""The one error a user can mend: scripts print its text on one line and exit with code 2."""


class XPTError(Exception):
    """Something the user gave cannot be used; the message names the thing and the way out."""
