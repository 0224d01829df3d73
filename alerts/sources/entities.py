"""Lists of typed things in a payload (users, hosts, addresses, files), as several vendors send them.

Everything here takes values of any type and never raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alerts.iocs.extract import PLACEHOLDERS
from alerts.iocs.hosts import UNSPECIFIED, canonical_ip, is_internal
from alerts.jsonwalk import clean

MAX_ENTITIES = 500

_BUILT_IN = frozenset(
    {
        "system", "local system", "localsystem", "local service", "network service", "anonymous logon", "iusr",
        "root", "nobody", "dwm", "umfd", "nt authority", "window manager",
    }
)  # fmt: skip


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in ``value``: those of a list, or the one that it is itself."""
    if type(value) is dict:
        return [value]
    return [item for item in value[:MAX_ENTITIES] if type(item) is dict] if type(value) is list else []


def part(entity: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The object that ``keys`` lead to, or an empty one."""
    for key in keys:
        inner = entity.get(key)
        if type(inner) is not dict:
            return {}
        entity = inner
    return entity


def first_text(entity: dict[str, Any], *keys: str) -> str | None:
    """The first text at ``keys`` that says something."""
    for key in keys:
        value = entity.get(key)
        if type(value) is str:
            text = clean(value).strip()
            if text and text.lower() not in PLACEHOLDERS:
                return text
    return None


def words(value: Any) -> frozenset[str]:
    """The texts of a list in lower case."""
    return (
        frozenset(item.lower() for item in value if type(item) is str) if type(value) is list else frozenset()
    )


def a_person(names: Iterable[str | None]) -> str | None:
    """The first of ``names`` that is no account of the operating system's; else the first."""
    given = [name for name in names if name]
    return next((name for name in given if not _is_built_in(name)), given[0] if given else None)


def _is_built_in(name: str) -> bool:
    plain = name.lower().partition("@")[0].rpartition("\\")[2]
    return plain in _BUILT_IN or plain.endswith("$") or plain.startswith(("dwm-", "umfd-"))


def an_address(values: Iterable[Any]) -> str | None:
    """The first of ``values`` that is a public IP address; else the first that is an address at all."""
    internal = None
    for value in values:
        address = address_of(value)
        if address is not None:
            if not is_internal("ip", address):
                return address
            internal = internal or address
    return internal


def address_of(value: Any) -> str | None:
    """``value`` as an IP address."""
    if type(value) is not str or not 2 < len(value) <= 50:
        return None
    try:
        address = canonical_ip(value.strip())
    except ValueError:
        return None
    return None if address in UNSPECIFIED else address


def file_path(folder: str | None, name: str | None) -> str | None:
    """The whole path of a file whose folder and name are told apart; ``folder`` alone when it ends in the name."""
    if not folder or not name or folder.lower().endswith(name.lower()):
        return folder
    separator = "/" if "/" in folder and "\\" not in folder else "\\"
    return f"{folder.rstrip('/').rstrip(chr(92))}{separator}{name}"


def with_file_paths(entity: dict[str, Any], folder: str, name: str) -> dict[str, Any]:
    """``entity`` with the whole path where it only has the folder: a folder like System32 says nothing."""
    whole = file_path(first_text(entity, folder), first_text(entity, name))
    return {**entity, folder: whole} if whole else entity


def without(payload: dict[str, Any], *paths: str) -> dict[str, Any]:
    """``payload`` without what is at ``paths`` (exact keys, dotted, through lists), for what is no observable.

    Analysts' own addresses, the public address of our network, the links of a knowledge base: a playbook that blocks
    or looks up observables must not see them.
    """
    for path in paths:
        payload = _without(payload, path.split("."))
    return payload


def _without(value: Any, keys: list[str]) -> Any:
    if type(value) is list:
        return [_without(item, keys) if type(item) is dict else item for item in value]
    if type(value) is not dict or keys[0] not in value:
        return value
    if len(keys) == 1:
        return {key: inner for key, inner in value.items() if key != keys[0]}
    return {**value, keys[0]: _without(value[keys[0]], keys[1:])}
