"""The address of a tracking store: what of it may be shown, and what MLflow is given."""

import hashlib
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from hooktune.errors import StoreError
from hooktune.plain_text import HIDDEN

DATABASE_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

_SERVERS: Final = ("http", "https")
_HOST: Final = re.compile(r"(\[[\w:.%]+\]|[^\s:@\[\]]+)(:\d+)?")
_SECRET_NAME: Final = re.compile(r"pass(?!file)|pwd|secret|token|odbc_connect", re.IGNORECASE)
# Of this process alone, so that what is made of a token tells nothing of it.
_SALT: Final = secrets.token_bytes(16)


@dataclass(frozen=True)
class Login:
    """Who somebody is for a server; in Basic authentication a token is a user without a password.

    Attributes:
        user: The user's name, or a token.
        password: The password; empty with a token.
    """

    user: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is never to be shown: also as the header of a request holds it."""
        header = b64encode(f"{self.user}:{self.password}".encode()).decode()
        return (self.password or self.user, header)


@dataclass(frozen=True)
class StoreAddress:
    """The address of a tracking store.

    As a text it is what may be shown.

    Attributes:
        shown: The address for people, without a secret.
        used: The address for MLflow. That of a server holds no secret either, and that of a
            database does.
        secrets: What is never to be shown.
        login: The user's name and password, or the token, that a server's address held.
        page: Where a browser finds a server; None for any other store.
        database: The host and the port of a database; None for any other store.
    """

    shown: str
    used: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    login: Login | None = field(default=None, repr=False)
    page: str | None = None
    database: tuple[str, int] | None = None

    def __str__(self) -> str:
        return self.shown

    @property
    def as_shown(self) -> "StoreAddress":
        """The address as everybody may have it, to be sent elsewhere."""
        return StoreAddress(self.shown, self.shown)


def read_store_address(uri: str) -> StoreAddress:
    """Read the address of a tracking store.

    Raises:
        StoreError: It can be read in several ways, or is that of no server and no database.
    """
    scheme, mark, rest = uri.partition("://")
    scheme = scheme.lower()
    if mark and scheme in _SERVERS:
        return _server(scheme, rest)
    if mark and scheme.split("+")[0] in DATABASE_PORTS:
        return _database(uri)
    if scheme == "sqlite":
        return StoreAddress(uri, uri)
    return StoreAddress(_hidden(uri), uri)


def without_password(uri: str) -> str:
    """Return an address as it may be shown, also one that cannot be used."""
    try:
        return read_store_address(uri).shown
    except StoreError:
        return _hidden(uri)


def _server(scheme: str, rest: str) -> StoreAddress:
    """Read the address of a server, of which `rest` comes after `//`.

    People write passwords as they are. One with a slash ends the host by the rules (RFC 3986,
    section 3.2), so that a part of the password would be asked for as a host.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        login, _, _ = authority.rpartition("@")
        where = rest[len(login) + 1 :]
        if "@" in where:
            raise _ambiguous(f"{scheme}://{rest}")
    elif "@" not in rest:
        login, where = "", rest
    elif _HOST.fullmatch(authority):
        raise _ambiguous(f"{scheme}://{rest}")
    else:
        login, _, where = rest.rpartition("@")
    host = re.split(r"[/?#]", where, maxsplit=1)[0]
    page = f"{scheme}://{where}"
    if not _HOST.fullmatch(host) or "?" in where or "#" in where:
        raise is_no_store(f"{scheme}://{rest}")
    if not login:
        return StoreAddress(page, page, page=page)
    user, _, password = (unquote(part) for part in login.partition(":"))
    who = Login(user, password)
    name = quote(user, safe="")
    if not password:
        shown = f"{scheme}://{HIDDEN}@{where}"
        name = f"token-{hashlib.sha256(_SALT + user.encode()).hexdigest()[:8]}"
    else:
        shown = f"{scheme}://{name}:{HIDDEN}@{where}"
    # The name stays, so that two users of one server are not taken for one another.
    return StoreAddress(shown, f"{scheme}://{name}@{where}", who.secrets, who, page)


def _database(uri: str) -> StoreAddress:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise is_no_store(uri) from None
    if url.host and "@" in url.host:
        # SQLAlchemy ends a password at the first @, where people mean the last one.
        rest, _, host = url.host.rpartition("@")
        url = url.set(password=f"{url.password}@{unquote(rest)}", host=host)
    if "@" in (url.database or ""):
        raise _ambiguous(uri)
    hidden = {name: value for name, value in url.query.items() if _SECRET_NAME.search(name)}
    shown = url.update_query_dict(dict.fromkeys(hidden, HIDDEN)).render_as_string()
    found = [url.password] if url.password else []
    for value in hidden.values():
        found += [value] if isinstance(value, str) else value
    port = url.port or DATABASE_PORTS[url.get_backend_name()]
    return StoreAddress(
        shown.replace(quote(HIDDEN, safe=""), HIDDEN),
        # Quoted, since MLflow reads it by urllib as well, which refuses an unquoted bracket.
        url.render_as_string(hide_password=False),
        tuple(map(str, found)),
        database=(url.host, port) if url.host else None,
    )


def is_no_store(uri: str) -> StoreError:
    """Return the error that an address is that of no tracking store."""
    return StoreError(
        f"{_hidden(uri)!r} is no tracking store. Give sqlite:///FILE, http(s)://HOST:PORT of an "
        "MLflow server, or the address of a database such as postgresql://..."
    )


def _ambiguous(uri: str) -> StoreError:
    return StoreError(
        f"The address {_hidden(uri)} can be read in several ways. Write @ / ? # within a "
        "password as %40 %2F %3F %23; for a server, MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD take them as they are."
    )


def _hidden(uri: str) -> str:
    """Return an address without all that could be a secret, however it is read."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    before, at, where = rest.rpartition("@")
    where, query, _ = where.partition("?")
    return f"{scheme}://{HIDDEN if before else ''}{at}{where}{query}{HIDDEN if query else ''}"
