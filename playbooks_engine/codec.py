"""What crosses the journal: values make a JSON round trip in the first life too, so both lives see the same types."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from playbooks_engine.context import ActionError

OPTIONS = orjson.OPT_NON_STR_KEYS
LARGE = 32 * 1024  # bytes; longer results go to a table of their own
MAX_RESULT = 10_000_000  # bytes
MAX_MESSAGE, MAX_TRACEBACK = 10_000, 100_000  # characters


def storable(text: str) -> str:
    """``text`` as PostgreSQL can hold it: without NUL and lone surrogates."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def storable_texts(arguments: dict[str, Any]) -> dict[str, Any]:
    """A helper's arguments, whose texts go into columns."""
    return {name: storable(value) if isinstance(value, str) else value for name, value in arguments.items()}


def said(error: BaseException) -> str:
    """What an exception says of itself, as far as it can be kept; its class may be anybody's."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown)"
    return storable(
        text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]} … ({len(text):,} characters)"
    )


def storable_json(text: str) -> str:
    """JSON text whose strings PostgreSQL can hold as ``jsonb``."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", text)


def _plain(value: Any) -> Any:
    """Mappings and sets in the form JSON has for them; a TypeError names anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    raise TypeError(type(value).__name__)


class ResultTooLarge(TypeError):
    """It ran; what it returned is more than a journal is for."""


def encode_result(owner: str, value: Any) -> str:
    """JSON text of what an action or playbook returned.

    Raises:
        TypeError: it is not JSON; names ``owner`` and the type that is in the way.
    """
    try:
        text = orjson.dumps(value, default=_plain, option=OPTIONS).decode()
        if len(text) > MAX_RESULT:
            raise ResultTooLarge(
                f"{owner} returned {len(text):,} bytes; at most {MAX_RESULT:,} are recorded. Keep what is large elsewhere "
                f"and return where it is."
            )
        return text
    except ResultTooLarge:
        raise
    except TypeError as error:
        kind = str(error).removeprefix("Type is not JSON serializable: ")
        raise TypeError(
            f"{owner} returned something that is not JSON ({kind}). Return dicts, lists, strings, numbers, "
            f"booleans or None, so that the result can be recorded."
        ) from None


def encode_arguments(value: Any) -> str:
    """JSON text of a call's arguments, for the page and the digest.

    Arguments may hold objects (a client, an open file): these are named by their type, which stays the same on
    replay where an address in memory would not.
    """

    def fallback(item: Any) -> Any:
        try:
            return _plain(item)
        except TypeError:
            return f"<{type(item).__module__}.{type(item).__qualname__}>"

    try:
        return orjson.dumps(value, default=fallback, option=OPTIONS | orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # integers beyond 64 bits, lone surrogates: shown, never refused
        return orjson.dumps(ascii(value)).decode()


def digest(text: str) -> bytes:
    """SHA-256 of encoded arguments."""
    return hashlib.sha256(text.encode()).digest()


def decode(text: str | None) -> Any:
    """The value of encoded text."""
    return orjson.loads(text) if text else None


def bound_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by parameter name, as a person wants to read them; a wrong call raises TypeError as Python would."""
    bound = inspect.signature(func).bind(*args, **kwargs)
    return dict(bound.arguments)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as the journal keeps it."""

    class_path: str
    args: list[Any]
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What can be said of ``error`` in JSON."""
        kind, message = type(error), said(error)
        try:
            encoded = orjson.dumps(list(error.args))
            args = orjson.loads(encoded) if len(encoded) <= MAX_MESSAGE else [message]
        except TypeError:
            args = [message]
        return cls(f"{kind.__module__}:{kind.__qualname__}", args, message)

    @classmethod
    def from_text(cls, text: str) -> Failure:
        """Back from the journal."""
        return cls(**orjson.loads(text))

    def to_text(self) -> str:
        """For the journal."""
        return orjson.dumps(
            {"class_path": self.class_path, "args": self.args, "message": self.message}
        ).decode()

    def rebuild(self, namespace: Mapping[str, Any]) -> Exception:
        """The same exception again: its class with its arguments, or an ActionError that bears its name.

        ``namespace`` is the playbook module's: classes declared there live under a name that differs per version.
        """
        found = self._find_class(namespace)
        if found is not None:
            try:
                rebuilt = found(*self.args)
            except Exception:  # the class wants other arguments than it keeps: stand in below
                rebuilt = None
            if rebuilt is not None and said(rebuilt) == self.message:
                return rebuilt
        name = self.class_path.rpartition(":")[2].rpartition(".")[2]
        return type(name, (ActionError,), {})(self.message)

    def _find_class(self, namespace: Mapping[str, Any]) -> type[Exception] | None:
        module_name, _, qualname = self.class_path.partition(":")
        candidate: Any = namespace.get(qualname)
        if candidate is None:
            try:
                candidate = importlib.import_module(module_name)
                for part in qualname.split("."):
                    candidate = getattr(candidate, part)
            except (ImportError, AttributeError):
                return None
        return candidate if isinstance(candidate, type) and issubclass(candidate, Exception) else None


_ENGINE_DIR = str(Path(__file__).parent)


def format_traceback(error: BaseException) -> str:
    """The traceback as its author wants it: without the frames of the engine and of asyncio."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    lines: list[str] = []
    for index, link in enumerate(reversed(chain)):
        if index:
            lines.append("\nThe above exception led to:\n\n")
        if frames := _author_frames(link.__traceback__):
            lines.append("Traceback (most recent call last):\n")
            lines.extend(frames.format())
        lines.extend(traceback.format_exception_only(link))
    text = "".join(lines)
    return text if len(text) <= MAX_TRACEBACK else f"{text[:MAX_TRACEBACK]}\n… cut here"


def _author_frames(tb: TracebackType | None) -> traceback.StackSummary:
    frames = traceback.extract_tb(tb)
    kept = [f for f in frames if not f.filename.startswith(_ENGINE_DIR) and "/asyncio/" not in f.filename]
    return traceback.StackSummary.from_list(kept or list(frames))
