"""Read settings from the environment. A value that makes no sense stops the start and says what is allowed."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


class EnvError(ValueError):
    """An environment variable holds something that cannot be used; the text names it and what is allowed."""


def env_str(name: str, default: str = "") -> str:
    """The variable's text, or ``default`` where it is unset or empty."""
    return os.environ.get(name) or default


def env_bool(name: str, default: bool = False) -> bool:
    """True or False; anything but the usual words raises :class:`EnvError`."""
    raw = os.environ.get(name, "").strip().lower()
    if not raw:
        return default
    if raw in TRUE:
        return True
    if raw in FALSE:
        return False
    raise EnvError(f"{name}={raw!r}: use one of true, false, yes, no, on, off, 1, 0")


def env_int(name: str, default: int, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """A whole number inside the stated bounds."""
    raw = os.environ.get(name, "").strip()
    try:
        value = int(raw) if raw else default
    except ValueError:
        raise EnvError(f"{name}={raw!r}: use a whole number") from None
    _check_bounds(name, value, minimum, maximum)
    return value


def env_float(
    name: str, default: float, *, minimum: float | None = None, maximum: float | None = None
) -> float:
    """A number inside the stated bounds."""
    raw = os.environ.get(name, "").strip()
    try:
        value = float(raw) if raw else default
    except ValueError:
        raise EnvError(f"{name}={raw!r}: use a number such as 15 or 1.5") from None
    _check_bounds(name, value, minimum, maximum)
    return value


def env_list(name: str, default: list[str] | None = None, *, separators: str = ",") -> list[str]:
    """The variable split at any of ``separators``, blanks dropped."""
    raw = os.environ.get(name, "")
    for separator in separators[1:]:
        raw = raw.replace(separator, separators[0])
    items = [item.strip() for item in raw.split(separators[0]) if item.strip()]
    return items or list(default or [])


def env_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """The variable as a comma-separated list of addresses and networks."""
    try:
        return [ip_network(item, strict=False) for item in env_list(name)]
    except ValueError as error:
        raise EnvError(f"{name}: {error}; use addresses such as 10.0.0.5 or 10.0.0.0/24") from None


def env_secret(name: str, default: str = "") -> str:
    """``name``, or the content of the file that ``name_FILE`` points to; an unreadable file stops the start."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return env_str(name, default)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EnvError(f"{name}_FILE={path}: cannot be read ({error.strerror})") from None


def adopt_running(data_dir: Path) -> None:
    """Let a command typed beside ``up`` use its servers and keys, unless the environment names a database itself."""
    if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
        return
    try:
        running = json.loads((data_dir / "run" / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name, value in running.items():
        os.environ.setdefault(name, value)


def _check_bounds(name: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise EnvError(f"{name}={value}: must lie between {minimum} and {maximum}")
