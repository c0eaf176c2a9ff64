"""Credentials in texts: found in addresses, masked wherever a text is shown, logged or kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

MASK = "***"
_LEAST_LENGTH = 6
"""Of a variable's value that is looked for in texts: a shorter one is part of too many words."""

_PASSES = 4

# user:password@ of an address, of which a path has but one slash left. A password may hold slashes,
# as addresses of databases allow; digits and a slash after the colon are a port.
_USER = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,40}:/{1,2})"
    r"(?P<user>[^\s/?#:@]*:(?![0-9]+(?:[/?#\s]|$))[^\s]*|[^\s/?#]*)@"
)
_UP_TO_AT = re.compile(r"(?<!\S)\S*@")
_WORD = (
    r"[\w.-]*(?:password|passwd|pwd|secret|token|signature|credentials?|"
    r"(?:access|account|api|auth|secret|shared|signing|storage)_?key)"
)
# In ODBC's own words, braces are quotes.
_VALUE = r"(?:(?P<quote>['\"]).*?(?P=quote)|\{[^{}]*\}|[^\s&;,'\"<>]+)"
# token=... anywhere, key=..., sig=... and token_id=... in a query alone, "password": "..." in JSON.
_PARAMETER = re.compile(
    rf"(?P<name>(?<![\w.-]){_WORD}=|[?&;#](?:key|sig|{_WORD}[._-]?id)=|[\"']{_WORD}[\"']:\s*)"
    rf"{_VALUE}",
    re.IGNORECASE,
)
_IN_QUERY = re.compile(r"(?P<name>[?&;#][^\s?&;#=]+=)[^\s&;,'\"<>]+")
# Authorization: Bearer ...
_HEADER = re.compile(
    r"(?P<name>\bauthorization\W{1,4}(?:bearer|basic)\s+|\bbearer\s+(?=\S{20}))[A-Za-z0-9+/=._~-]+",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"(?:^|_|PG)(?:PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS?|SECRET_ACCESS_KEY|SECRET_KEY|"
    r"ACCESS_KEY|ACCOUNT_KEY|STORAGE_KEY|API_KEY|CONNECTION_STRING)$"
)


def holds_credentials(address: str) -> bool:
    """Whether an address holds a password, a token or a parameter that is a secret.

    It does if something of it would be masked. Only a user's name alone is none in the address of
    a database; it may be a token in others.
    """
    address = _each_user(_without_a_name, address)
    return "://" in address and _masked(address) != address


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with all credentials in it made unreadable.

    Args:
        environment: in which variables such as MLFLOW_TRACKING_PASSWORD, AWS_SECRET_ACCESS_KEY or
            RAY_AUTH_TOKEN hold secrets; that of the process if left out.
    """
    for secret in _secrets(os.environ if environment is None else environment):
        text = text.replace(secret, MASK)
    for _ in range(_PASSES):  # what is masked may show what else there is
        text = _masked(text)
    return text


def plain_line(text: str) -> str:
    """What may be shown of a text that others wrote: masked, and without control characters.

    A terminal obeys such characters, and some names of files cannot be printed at all.
    """
    return _printable(masked(text))


def plain_lines(text: str) -> str:
    """The same of a text of several lines, whose ends and tabs stay."""
    return _printable(masked(text), keeps="\n\t")


def _masked(text: str) -> str:
    return _IN_QUERY.sub(_masked_if_encoded, _masked_as_it_is(text))


def _masked_as_it_is(text: str) -> str:
    text = _each_user(rf"\g<scheme>{MASK}@", text)
    text = _PARAMETER.sub(rf"\g<name>\g<quote>{MASK}\g<quote>", text)
    return _HEADER.sub(rf"\g<name>{MASK}", text)


def _masked_if_encoded(parameter: re.Match[str]) -> str:
    """The parameter, without its value where %3D, %253D and the like hide what is a secret."""
    plain = parameter[0]
    for _ in range(_PASSES):
        plain = unquote(plain)
        if _masked_as_it_is(plain) != plain:
            return f"{parameter['name']}{MASK}"
    return parameter[0]


def _each_user(becomes: str | Callable[[re.Match[str]], str], text: str) -> str:
    """Looks no further than to the last @, or long texts without would take very long."""
    return _UP_TO_AT.sub(lambda found: _USER.sub(becomes, found[0]), text)


def _without_a_name(user: re.Match[str]) -> str:
    """How an address begins: without the user of a database who gives no password."""
    alone = ":" not in user["user"] and _is_database(user["scheme"])
    return user["scheme"] if alone else user[0]


def _printable(text: str, keeps: str = "") -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in keeps else repr(c)[1:-1] for c in shown)


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Values of the variables that hold secrets, the longest first."""
    values = {
        value.strip()
        for name, value in environment.items()
        if _SECRET_VARIABLE.search(name.upper()) and len(value.strip()) >= _LEAST_LENGTH
    }
    return sorted(values | {unquote(value) for value in values}, key=len, reverse=True)


def _is_database(scheme: str) -> bool:
    return re.split("[+:]", scheme.lower(), maxsplit=1)[0] in ("postgresql", "mysql", "mssql")
