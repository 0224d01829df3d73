"""Mails that users report: what :func:`alerts.mail.read_message` makes of the bytes of a mail.

What counts as an indicator is chosen, not found: the reporter, the recipients and our own servers stand in every
forwarded mail and are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from alerts.iocs import ObservableValue
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
_MAX_QUOTED = 2_000  # characters of the message in the alert's description
_NOTHING = Mapping()


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert about the message that was reported."""
    report, message = _object(payload.get("report")), _object(payload.get("message"))
    verdicts = {
        name: text for name, text in _object(message.get("authentication")).items() if type(text) is str
    }
    dmarc = verdicts.get("dmarc", "")
    # Only here observables are looked for; the rest of a mail names everybody who had it in hand.
    searched = {name: message[name] for name in ("subject", "text", "links") if message.get(name)}
    reader = Reader({"message": searched})
    for note in _list(payload.get("notes")):
        if type(note) is str:
            reader.note(note)
    # Who sends the message itself there reports nothing.
    reporter = None if report.get("how") == "itself" else _object(report.get("from")).get("address")
    alert = read(
        reader, _NOTHING, severities,
        title=message.get("subject") or _UNTITLED,
        description=_description(message),
        severity=dmarc if dmarc in severities.entries else "unknown" if "unknown" in severities.entries else MEDIUM,
        source_id=report.get("id"),
        group_key=message.get("id"),
        username=reporter,
        source_ip=_address(message),
        event_at=_time(report.get("date")) or _time(message.get("date")),
        observables=tuple(_observables(message)),
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


def _observables(message: dict[str, Any]) -> Iterator[ObservableValue]:
    wanted: list[tuple[str, Any, str]] = [("ip", message.get("sent_from"), "message.sent_from")]
    for name in ("from", "reply_to", "return_path"):
        for number, one in enumerate(_objects(message.get(name))[:10]):
            address = one.get("address")
            wanted.append(("email", address, f"message.{name}.{number}.address"))
            if type(address) is str:
                domain = address.rpartition("@")[2]
                wanted.append(("domain", domain, f"message.{name}.{number}.address"))
    for number, one in enumerate(_objects(message.get("attachments"))[:100]):
        where = f"message.attachments.{number}"
        wanted += [(name, one.get(name), f"{where}.{name}") for name in ("sha256", "md5", "filename")]
    wanted.append(("other", message.get("id"), "message.id"))
    for kind, value, field in wanted:
        if (made := observable(kind, value, field)) is not None:
            yield made


def _address(message: dict[str, Any]) -> str | None:
    found = observable("ip", message.get("sent_from"), "message.sent_from")
    return None if found is None else found.value


def _description(message: dict[str, Any]) -> str | None:
    senders = ", ".join(
        str(one["address"]) for one in _objects(message.get("from")) if type(one.get("address")) is str
    )
    text = message.get("text")
    lines = [f"From: {senders}" if senders else "", text[:_MAX_QUOTED] if type(text) is str else ""]
    return "\n\n".join(line for line in lines if line) or None


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
