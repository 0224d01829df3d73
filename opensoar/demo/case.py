"""One incident of the week: what is done to it, by whom, how many minutes before now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from incidents import services as incidents
from incidents.models import Handoff, Incident
from opensoar.demo.desk import Desk, Signal


class Case:
    """An incident that will be opened; every method says when."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.incident: Incident | None = None
        self._handoff: Handoff | None = None

    def opens(self, age: float, who: str, title: str, signals: Iterable[Signal] = (), **words: Any) -> None:
        """Somebody opens it from alerts."""

        def open_it() -> None:
            found = [signal.alert for signal in signals]
            self.incident = incidents.open_incident(
                actor=self.desk.who(who), title=title, alerts=found, **words
            )

        self.desk.at(age, open_it)

    def then(self, age: float, who: str, verb: Callable[..., object], **words: Any) -> None:
        """Somebody does something to it."""
        self.desk.at(age, lambda: verb(actor=self.desk.who(who), incident=self.opened, **words))

    def taken(self, age: float, who: str) -> None:
        """Somebody makes it their own and begins."""
        self.then(age, who, incidents.assign_incident, user=self.desk.user(who))
        self.then(age - 0.1, who, incidents.move_incident, status="investigating")

    def says(self, age: float, who: str, text: str) -> None:
        """Somebody writes a comment."""
        self.then(age, who, incidents.comment_incident, text=text)

    def links(self, age: float, who: str, signals: Iterable[Signal]) -> None:
        """Somebody links alerts."""
        self.desk.at(
            age,
            lambda: incidents.link_alerts(
                actor=self.desk.who(who), incident=self.opened, alerts=[signal.alert for signal in signals]
            ),
        )

    def hands_over(self, age: float, who: str, to: str, text: str, questions: list[str], shift: str) -> None:
        """Somebody leaves a note for who goes on."""

        def hand_over() -> None:
            self._handoff = incidents.hand_off(
                actor=self.desk.who(who),
                incident=self.opened,
                to_user=self.desk.user(to),
                text=text,
                open_questions=questions,
                shift=shift,
            )

        self.desk.at(age, hand_over)

    def acknowledged(self, age: float, who: str) -> None:
        """Who goes on says so."""

        def acknowledge() -> None:
            if self._handoff is not None:
                incidents.acknowledge_handoff(actor=self.desk.who(who), handoff=self._handoff)

        self.desk.at(age, acknowledge)

    def closes(self, age: float, who: str, determination: str, impact: str, summary: str) -> None:
        """Somebody settles it."""
        self.then(
            age, who, incidents.close_incident, determination=determination, impact=impact, summary=summary
        )

    def runs(self, age: float, who: str, playbook: str, given: dict[str, Any]) -> None:
        """Somebody starts a playbook on it."""
        self.desk.at(age, lambda: self.desk.start(who, playbook, given, incident=self.opened))

    @property
    def opened(self) -> Incident:
        """The incident; a story that acts on it before it is open is wrong."""
        if self.incident is None:
            raise LookupError("the incident is not open yet")
        return self.incident
