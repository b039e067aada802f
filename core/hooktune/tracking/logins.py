"""Logins for MLflow's requests, which stand in no address."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from hooktune.errors import StoreError
from hooktune.tracking.store_address import Login, StoreAddress

_VARIABLES: Final = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
_LOGINS: Final[dict[str, Login]] = {}
"""By the address that MLflow is given; it names the user, so that each has their own."""

_LOGIN: Final = ("USERNAME", "PASSWORD")
_MAKER: Final = "MlflowHostCreds"


class _Empty(str):
    """An empty password, which MLflow would take for none and send nothing."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


def use_login(address: StoreAddress) -> None:
    """Let MLflow send a login with all requests to a server, and with none to any other.

    MLflow itself knows a login for the whole process, from its environment, or one within the
    address, from where it gets into messages. So the one place where it puts a login together is
    replaced in this process; for every address but those that were given here it does the same.

    Raises:
        StoreError: MLflow has no such place any more.
    """
    if address.login is None:
        return
    from mlflow.utils import credentials

    _LOGINS[address.used.rstrip("/")] = address.login
    made_by = vars(credentials).get(_MAKER)
    if made_by is not None and not hasattr(made_by, "by_hooktune"):
        setattr(credentials, _MAKER, _with_logins(made_by))
    made = credentials.get_default_host_creds(address.used)  # type: ignore[no-untyped-call]
    if not made.username:
        raise StoreError(
            f"This version of MLflow takes no login from the address {address}. Give it by "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )


def secrets_of_environment() -> list[str]:
    """Return the secrets that MLflow itself takes from the environment."""
    environment = os.environ
    found = [environment[name] for name in _VARIABLES if name in environment]
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}") for name in _LOGIN)
    return [*found, *(Login(user, password).secrets if user and password else ())]


def _with_logins(make: Callable[..., Any]) -> Any:
    @wraps(make)
    def make_with_login(host: str, **given: Any) -> Any:
        login = _find(host)
        is_known = bool((given.get("username") and given.get("password")) or given.get("token"))
        # A name alone may be meant for the password that the environment holds.
        if login is not None and (login.password or not is_known):
            given |= {"username": login.user, "password": login.password or _Empty()}
        return make(host, **given)

    make_with_login.by_hooktune = True  # type: ignore[attr-defined]
    return make_with_login


def _find(host: str) -> Login | None:
    """Return the login of a server, of whose address or of a page below it."""
    fitting = [known for known in _LOGINS if f"{host}/".startswith(f"{known}/")]
    return _LOGINS[max(fitting, key=len)] if fitting else None
