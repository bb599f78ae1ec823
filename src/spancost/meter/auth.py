# SPDX-License-Identifier: Apache-2.0
"""Who may read the metrics: a bearer token or a name with a password, if the program wants one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import Final, TypeAlias

from spancost import _env

Credentials: TypeAlias = "str | tuple[str, str]"
"""A bearer token, or a name and a password."""

_REALM: Final = "spancost"


class Auth:
    """
    The credentials that a client must show.

    Args:
        tokens: Bearer tokens, any of which will do.
        logins: Pairs of name and password, likewise.

    Raises:
        ValueError: A token or a login that no client can send; all are told, none is shown.
    """

    def __init__(self, tokens: tuple[str, ...] = (), logins: tuple[tuple[str, str], ...] = ()) -> None:
        problems = [problem for token in tokens for problem in _token_problems(token)]
        problems += [problem for login in logins for problem in _login_problems(*login)]
        if problems:
            raise ValueError(f"metrics credentials: {'; '.join(problems)}")
        # Digests have one length, so that a comparison tells nothing about that of the secret.
        self._tokens = [_digest(token.encode()) for token in tokens]
        self._logins = [_digest(f"{name}:{password}".encode()) for name, password in logins]

    def admits(self, authorization: str) -> bool:
        """Tell whether an ``Authorization`` header shows the credentials; in constant time."""
        scheme, _, shown = authorization.partition(" ")
        shown = shown.strip()
        if scheme.lower() == "bearer":
            return _is_one_of(shown.encode(), self._tokens)
        if scheme.lower() == "basic":
            try:
                login = base64.b64decode(shown, validate=True)
            except (binascii.Error, ValueError):
                return False
            return _is_one_of(login, self._logins)
        return False

    @property
    def challenges(self) -> list[str]:
        """The values of ``WWW-Authenticate`` for a client that did not show them."""
        found = [f'Bearer realm="{_REALM}"'] if self._tokens else []
        return found + ([f'Basic realm="{_REALM}", charset="UTF-8"'] if self._logins else [])


def auth_of(credentials: Credentials | None) -> Auth | None:
    """
    Return what clients must show; None where everybody may read.

    Args:
        credentials: A bearer token, or a pair of name and password; None for what the environment
            says, in `_env.METRICS_TOKEN`, `_env.METRICS_LOGIN` and their ``_FILE`` variants.

    Raises:
        ValueError: Credentials that no client can send, or a file that cannot be read or is empty.
    """
    if isinstance(credentials, str):
        return Auth(tokens=(credentials,))
    if credentials is not None:
        name, password = credentials
        return Auth(logins=((name, password),))
    token = _from_environment(_env.METRICS_TOKEN)
    login = _from_environment(_env.METRICS_LOGIN)
    if token is None and login is None:
        return None
    tokens = () if token is None else (token,)
    if login is None:
        return Auth(tokens)
    name, colon, password = login.partition(":")
    if not colon:
        raise ValueError(f"{_env.METRICS_LOGIN} must be a name and a password with a colon between them")
    return Auth(tokens, ((name, password),))


def _from_environment(variable: str) -> str | None:
    """Return what a variable says, or the file that its ``_FILE`` variant names."""
    text = os.environ.get(variable, "")
    path = os.environ.get(f"{variable}_FILE", "")
    if text and path:
        raise ValueError(f"{variable} and {variable}_FILE are both set: leave one out")
    if not path:
        return text or None
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{variable}_FILE names {path}, which cannot be read: {error}") from error
    if not text:
        raise ValueError(f"{variable}_FILE names {path}, which is empty")
    return text


def _token_problems(token: str) -> list[str]:
    if not token:
        return ["the token is empty"]
    if not token.isascii() or not token.isprintable() or " " in token:
        return ["the token has characters that a header cannot have: take letters, digits and -._~+/="]
    return []


def _login_problems(name: str, password: str) -> list[str]:
    problems = []
    if not name or not password:
        problems.append("the name or the password is empty")
    if ":" in name:
        problems.append("the name has a colon, at which clients end it")
    if not f"{name}{password}".isprintable():
        problems.append("the name or the password has control characters")
    return problems


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _is_one_of(shown: bytes, digests: list[bytes]) -> bool:
    """Compare with all, whichever fits."""
    digest = _digest(shown)
    fits = False
    for expected in digests:
        fits |= hmac.compare_digest(digest, expected)
    return fits
