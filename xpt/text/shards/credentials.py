"""Where shards lie: a folder, or a URL that holds no secret."""

from urllib.parse import urlsplit

from xpt.program.errors import XPTError


def check_place(place: str) -> None:
    """Raise `XPTError` for a URL with a secret in it: it would stand in settings and messages."""
    parts = urlsplit(place)
    if "://" in place and (parts.username or parts.password or parts.query):
        raise XPTError(
            f"the URL of the shards at {parts.hostname or parts.scheme} holds a user, a password or a query; "
            "give credentials in the environment, as the library of its protocol reads them"
        )
