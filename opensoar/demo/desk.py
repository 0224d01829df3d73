"""The desk: signals that arrive and people who act, each at their moment of the week.

A story says what happens and how many minutes before now; :meth:`Desk.play` then tells all stories in the order of
time, with the clock of the services set to each moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from alerts import ingest
from alerts import services as alerts
from alerts.incoming import Incoming
from alerts.intake import Envelope, read_body
from alerts.models import Alert
from alerts.senders import Sender, sender_of
from incidents.models import Incident
from incidents.suggestion_store import catch_up
from incidents.suggestions import dismiss_suggestion, suggestions
from opensoar import clock
from opensoar.accounts.models import User
from opensoar.actors import Actor
from opensoar.demo.engine import StoryEngine
from opensoar.demo.people import Cast
from opensoar.ids import uuid7
from playbooks_engine.models import Playbook, Sequence
from playbooks_engine.services import start_run

SEED = 20261124


@dataclass(slots=True, eq=False)
class Signal:
    """One alert as its source sends it. ``age`` and ``last`` are minutes before now: first and last delivery."""

    age: float
    severity: str
    title: str
    source: str
    rule: str
    host: str | None = None
    user: str | None = None
    ip: str | None = None
    dest: str | None = None
    partner: str = "acme"
    times: int = 1
    last: float | None = None
    tags: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    stored: Alert | None = None

    @property
    def alert(self) -> Alert:
        """The alert it became."""
        if self.stored is None:
            raise LookupError(f"{self.title!r} has not arrived yet")
        return self.stored

    def body(self, vendor_id: str, moment: datetime) -> bytes:
        """What is sent: the words every product has, beside the vendor's own."""
        known = {
            "id": vendor_id, "timestamp": moment.isoformat(timespec="milliseconds"), "title": self.title,
            "severity": self.severity, "rule_name": self.rule, "hostname": self.host, "username": self.user,
            "source_ip": self.ip, "dest_ip": self.dest, "tags": list(self.tags),
            "mitre_techniques": list(self.techniques),
        }  # fmt: skip
        return json.dumps({name: value for name, value in known.items() if value} | self.extra).encode()


class Desk:
    """Where the week happens."""

    def __init__(self, now: datetime, cast: Cast, engine: StoryEngine) -> None:
        self.now = now
        self.cast = cast
        self.engine = engine
        self.seed = SEED
        self._steps: list[tuple[datetime, int, Callable[[], object]]] = []
        self._numbers = 0

    # --- what stories are written with -------------------------------------------------------------------------

    def ago(self, minutes: float) -> datetime:
        """The moment ``minutes`` before now."""
        return self.now - timedelta(minutes=minutes)

    def hhmm(self, minutes: float) -> str:
        """That moment on the wall of the desk, for what people write."""
        return f"{timezone.localtime(self.ago(minutes)):%H:%M}"

    def who(self, username: str) -> Actor:
        """The person as who acts."""
        return self.cast.actor(username)

    def user(self, username: str) -> User:
        """The person as who is given something."""
        return self.cast.users[username]

    def at(self, minutes: float, verb: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """``verb`` happens ``minutes`` before now."""
        self._steps.append((self.ago(minutes), len(self._steps), lambda: verb(*args, **kwargs)))

    def arrives(self, signal: Signal) -> Signal:
        """The signal is sent: once, or ``times`` times until ``last``."""
        vendor_id = self._vendor_id(signal)
        self.at(signal.age, self._receive, signal, vendor_id, [signal.age])
        if signal.times > 1:
            last = signal.last if signal.last is not None else max(0.5, signal.age * 0.2)
            step = (signal.age - last) / (signal.times - 1)
            self.at(
                last,
                self._receive,
                signal,
                vendor_id,
                [signal.age - step * n for n in range(1, signal.times)],
            )
        return signal

    def arrive(self, signals: list[Signal]) -> list[Signal]:
        """Many signals that trigger nothing, each once, stored together as the last arrives."""
        named = [(signal, self._vendor_id(signal)) for signal in signals]
        self.at(min(signal.age for signal in signals), self._receive_all, named)
        return signals

    def each(
        self, age: float, who: str, signals: Iterable[Signal], verb: Callable[..., object], **words: Any
    ) -> None:
        """Somebody does the same to every one of these alerts."""

        def do() -> None:
            for signal in signals:
                verb(actor=self.who(who), alert=signal.alert, **words)

        self.at(age, do)

    def resolves(
        self, age: float, who: str, signals: Iterable[Signal], determination: str, reason: str
    ) -> None:
        """Somebody is done with these alerts."""
        self.each(age, who, signals, alerts.resolve_alert, determination=determination, reason=reason)

    def delivery(self, minutes: float, source: str, body: bytes) -> None:
        """A body arrives that is no alert anybody can understand."""
        self.at(minutes, self._store, self._envelope(source, "acme", self.ago(minutes)), body)

    # --- telling -----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Tell everything in the order of time."""
        with clock.told_by(self.engine.clock):
            for moment, _number, verb in sorted(self._steps, key=lambda step: step[:2]):
                self.engine.clock.set(moment)
                verb()

    def start(self, who: str, playbook: str, given: dict[str, Any], incident: Incident | None = None) -> None:
        """Now ``who`` starts a playbook, and it runs."""
        row = Playbook.objects.get(name=playbook)
        run = start_run(actor=self.who(who), playbook=row, incident=incident, input=given)
        self.engine.run(run.sequence_id)

    def dismiss(self, who: str, value: str, reason: str) -> None:
        """Now ``who`` says no to what is suggested about ``value``."""
        actor = self.who(who)
        catch_up()
        for suggestion in suggestions(actor):
            if suggestion.value == value:
                dismiss_suggestion(actor=actor, suggestion_id=suggestion.id, reason=reason)

    def _vendor_id(self, signal: Signal) -> str:
        self._numbers += 1
        return f"{signal.source.lower().split()[0]}-{self._numbers:05d}"

    def _receive_all(self, named: list[tuple[Signal, str]]) -> None:
        batch = [self._read(signal, vendor_id, signal.age) for signal, vendor_id in named]
        ingest.write(batch)
        rows = Alert.objects.select_related("partner").in_bulk([incoming.alert_id for incoming in batch])
        for (signal, _vendor_id), incoming in zip(named, batch, strict=True):
            signal.stored = rows[incoming.alert_id]

    def _read(self, signal: Signal, vendor_id: str, age: float) -> Incoming:
        moment = self.ago(age)
        envelope = self._envelope(signal.source, signal.partner, moment)
        return read_body(signal.body(vendor_id, moment), envelope)[0]

    def _receive(self, signal: Signal, vendor_id: str, ages: list[float]) -> None:
        incoming = self._read(signal, vendor_id, ages[0])
        batch = [incoming, *(self._again(incoming, signal, vendor_id, self.ago(age)) for age in ages[1:])]
        ingest.write(batch)
        outcome = batch[0].outcome
        if signal.stored is None and outcome is not None and outcome.alert_id is not None:
            signal.stored = Alert.objects.select_related("partner").get(pk=outcome.alert_id)
            if outcome.playbooks:
                self.engine.run(Sequence.objects.get(alert=signal.stored).pk)

    def _again(self, incoming: Incoming, signal: Signal, vendor_id: str, moment: datetime) -> Incoming:
        """The same alert, delivered once more: nothing in it has to be read anew."""
        body = signal.body(vendor_id, moment)
        return replace(incoming, body=body, received_at=moment, delivery_id=uuid7(), alert_id=uuid7())

    def _store(self, envelope: Envelope, body: bytes) -> None:
        ingest.write(read_body(body, envelope))

    def _envelope(self, source: str, partner: str, moment: datetime) -> Envelope:
        sender: Sender = sender_of(self.cast.sensor(source, partner))
        return Envelope(sender=sender, content_type="application/json", received_at=moment)
