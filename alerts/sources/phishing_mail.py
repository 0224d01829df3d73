"""Mails that users report: what :func:`alerts.mail.read_message` makes of the bytes of a mail.

What counts as an indicator is chosen, not found: the reporter, the recipients and our own servers stand in every
forwarded mail and are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from alerts.iocs import ObservableValue, extract
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import HIGH, MEDIUM, Severities

SOURCE = Source(
    slug="phishing_mail",
    product="Reported mail",
    signs=(sign("report.how report.id message.authentication", 0.98),),
    # By what the receiving server found of DMARC: a sender who is not who they say.
    severities=Severities({"fail": HIGH, "pass": MEDIUM, "none": MEDIUM, "unknown": MEDIUM}),
)
_UNTITLED = "Reported mail without a subject"
_MAX_BESIDE = 10
_MAX_QUOTED = 2_000  # characters of the message in the alert's description
_NOTHING = Mapping()


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert about the message that was reported."""
    report, message = _object(payload.get("report")), _object(payload.get("message"))
    beside = _objects(payload.get("beside"))[:_MAX_BESIDE]
    verdicts = _verdicts(message)
    reader = Reader({"message": _searched(message)})
    for note in _list(payload.get("notes")):
        if type(note) is str:
            reader.note(note)
    more = [
        one for number, other in enumerate(beside) for one in _of_other(reader, other, f"beside.{number}")
    ]
    # Who sends the message itself there reports nothing.
    reporter = None if report.get("how") == "itself" else _object(report.get("from")).get("address")
    alert = read(
        reader, _NOTHING, severities,
        title=message.get("subject") or _UNTITLED,
        description=_description(message, beside),
        severity=_severity([verdicts, *map(_verdicts, beside)], severities),
        source_id=_id(report),
        group_key=message.get("id"),
        username=reporter,
        source_ip=_address(message),
        event_at=_time(report.get("date")) or _time(message.get("date")),
        observables=(*_observables(message, "message"), *more),
    )  # fmt: skip
    alert.normalized["mail"] = {
        "reported_by": reporter if type(reporter) is str else None,
        "how": report.get("how"),
        "message_id": message.get("id"),
        "from": [one.get("address") for one in _objects(message.get("from"))],
        "sent_from": message.get("sent_from"),
        **{name: verdicts.get(name) for name in ("spf", "dkim", "dmarc")},
        "attachments": _list(message.get("attachments"))[:50],
    }
    return alert


def _id(report: dict[str, Any]) -> Any:
    """A Message-ID is chosen by who writes the mail: with other contents it names another alert."""
    name, content = report.get("id"), report.get("content")
    return f"{name} {content}" if type(name) is str and type(content) is str else name


def _severity(verdicts: list[dict[str, str]], severities: Severities) -> str:
    found = [one.get("dmarc", "") for one in verdicts]
    dmarc = "fail" if "fail" in found else found[0]
    if dmarc in severities.entries:
        return dmarc
    return "unknown" if "unknown" in severities.entries else MEDIUM


def _verdicts(message: dict[str, Any]) -> dict[str, str]:
    found = _object(message.get("authentication"))
    return {name: text for name, text in found.items() if type(text) is str}


def _searched(message: dict[str, Any]) -> dict[str, Any]:
    """Only here observables are looked for; the rest of a mail names everybody who had it in hand."""
    return {name: message[name] for name in ("subject", "text", "links") if message.get(name)}


def _of_other(reader: Reader, other: dict[str, Any], where: str) -> list[ObservableValue]:
    """The observables of what came with the message, counted by themselves: neither may crowd out the other."""
    found = extract({where: _searched(other)})
    for note in found.notes:
        reader.note(note)
    own = other.get("own")
    every = [*_observables(other, where), *found.observables]
    return [one for one in every if not _is_at(one, own)] if type(own) is str and own else every


def _is_at(one: ObservableValue, domain: str) -> bool:
    """Whether it is an address, a name or a link of ``domain``."""
    host = one.value.rpartition("@")[2] if one.type == "email" else one.value
    if one.type == "url":
        host = one.value.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
        host = host.rpartition("@")[2].partition(":")[0]
    return one.type in ("email", "url", "domain", "hostname") and f".{host.lower()}".endswith(f".{domain}")


def _observables(message: dict[str, Any], where: str) -> Iterator[ObservableValue]:
    wanted: list[tuple[str, Any, str]] = [("ip", message.get("sent_from"), f"{where}.sent_from")]
    for name in ("from", "reply_to", "return_path"):
        for number, one in enumerate(_objects(message.get(name))[:10]):
            address = one.get("address")
            wanted.append(("email", address, f"{where}.{name}.{number}.address"))
            if type(address) is str:
                domain = address.rpartition("@")[2]
                wanted.append(("domain", domain, f"{where}.{name}.{number}.address"))
    for number, one in enumerate(_objects(message.get("attachments"))[:100]):
        at = f"{where}.attachments.{number}"
        wanted += [(name, one.get(name), f"{at}.{name}") for name in ("sha256", "md5", "filename")]
    wanted.append(("other", message.get("id"), f"{where}.id"))
    for kind, value, field in wanted:
        if (made := observable(kind, value, field)) is not None:
            yield made


def _address(message: dict[str, Any]) -> str | None:
    found = observable("ip", message.get("sent_from"), "message.sent_from")
    return None if found is None else found.value


def _description(message: dict[str, Any], beside: list[dict[str, Any]]) -> str | None:
    text = message.get("text")
    lines = [_senders(message), text[:_MAX_QUOTED] if type(text) is str else ""]
    for other in beside:
        text = other.get("text")
        if senders := _senders(other):  # another message; without a sender it is what the reporter wrote
            lines += [f"Beside it: {other.get('subject') or _UNTITLED}", senders]
            lines.append(text[:_MAX_QUOTED] if type(text) is str else "")
    return "\n\n".join(line for line in lines if line) or None


def _senders(message: dict[str, Any]) -> str:
    found = [one["address"] for one in _objects(message.get("from")) if type(one.get("address")) is str]
    return f"From: {', '.join(found)}" if found else ""


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in _list(value) if type(one) is dict]
