"""Two customers with one row of every kind. Every word of theirs carries the customer's mark."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from alerts import services as alert_services
from alerts.models import Alert, AlertSource, Delivery, SourceHealth
from incidents import services as incident_services
from incidents.suggestion_store import catch_up
from incidents.suggestions import dismiss_suggestion, suggestions
from opensoar.accounts.models import Partner, User
from opensoar.accounts.services import audit
from opensoar.ids import uuid7
from playbooks_engine.models import (
    ActionAttempt,
    ActionResult,
    Approval,
    Connector,
    Playbook,
    PlaybookRun,
    PlaybookVersion,
    RunLog,
    Secret,
    Sequence,
)
from tests.factories import PASSWORD, make_alert, make_partner, make_token, make_user

OURS, THEIRS = "zzalfa", "zzbravo"
IN_AN_HOUR = timezone.now() + timedelta(hours=1)
ROLES = ("viewer", "analyst", "lead", "playbook_author", "admin")


@dataclass
class Customer:
    """One partner, its people and the ids of its rows, under the names that the table of routes uses."""

    mark: str
    partner: Partner
    people: dict[str, User]
    ids: dict[str, str] = field(default_factory=dict)
    token: str = ""

    def fill(self, value: Any) -> Any:
        """``value`` with every ``$name`` replaced by the id of that name."""
        if isinstance(value, dict):
            return {key: self.fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner) for inner in value]
        if isinstance(value, str) and value.startswith("$"):
            return self.ids[value[1:]]
        return value


def make_customer(mark: str, last_octet: int, alerts: int) -> Customer:
    """A customer with ``alerts`` alerts that share a host, and one of everything else."""
    partner = make_partner(mark)
    people = {
        role: make_user(f"{role}-{mark}", role, [partner], email=f"{role}@{mark}.com") for role in ROLES
    }
    customer = Customer(mark, partner, people)
    actor = people["admin"].actor
    host = f"host-{mark}.com"
    pair = [_alert(customer, title=f"Beacon {n} {mark}", hostname=host, username=mark) for n in range(alerts)]
    for host in ("first", "second"):  # a second group, for a suggestion that is dismissed
        _alert(customer, title=f"Login {host} {mark}", source_ip=f"198.51.100.{last_octet}")
    catch_up()
    dismissed = next(s for s in suggestions(actor) if s.entity == "source_ip")
    dismiss_suggestion(actor=actor, suggestion_id=dismissed.id, reason=f"known to {mark}")
    open_one = next(s for s in suggestions(actor) if s.entity == "hostname")
    comment = alert_services.comment_alert(actor=actor, alert=pair[0], text=f"Comment {mark}")
    observable = alert_services.add_observables(
        actor=actor, alert=pair[0], values=[("domain", f"evil-{mark}.com")]
    )[0]
    alert_services.add_enrichment(
        actor=actor,
        observable=observable,
        source=f"lookup-{mark}",
        data={"seen": mark},
        malicious=True,
        score=9.0,
    )
    delivery = Delivery.objects.get(alert_id=pair[0].pk)
    quarantined = Delivery.objects.create(
        partner_id=partner.pk,
        source=f"src-{mark}",
        state="quarantined",
        reason=f"odd {mark}",
        body=mark.encode(),
    )
    exclusion = alert_services.save_exclusion(
        actor=actor, kind="own", value=f"{mark}.net", reason=f"of {mark}"
    )
    suppression = alert_services.create_suppression(
        actor=actor, name=f"Noise {mark}", reason=f"Known {mark}", conditions={"hostname": f"kiosk-{mark}"}
    )
    hidden = _alert(customer, title=f"Hidden {mark}", suppressed_by=suppression)
    now = timezone.now()
    SourceHealth.objects.create(partner=partner, source=f"src-{mark}", first_at=now, last_at=now)
    excluded = incident_services.save_exclusion(
        actor=actor, entity="domain", value=f"cdn-{mark}.com", reason=f"shared by {mark}", partner=partner
    )
    token, _ = make_token(["read"], name=f"token {mark}", partner=partner)
    customer.token = make_token(["read", "write", "respond", "admin"], name=f"all {mark}", partner=partner)[1]
    customer.ids |= {
        "alert": str(pair[0].pk), "other_alert": str(pair[1].pk), "comment": str(comment.pk),
        "observable": str(observable.pk), "enrichment": f"lookup-{mark}", "delivery": str(delivery.pk),
        "quarantined": str(quarantined.pk), "suppression": str(suppression.pk), "hidden_alert": str(hidden.pk),
        "suggestion": open_one.id, "token": str(token.pk), "partner": mark,
        "user": str(people["analyst"].pk), "username": people["analyst"].username, "word": mark,
        "value": f"evil-{mark}.com", "host": f"host-{mark}.com", "webhook": "wazuh", "password": PASSWORD, "role": "viewer",
        "settings": "1", "partner_id": str(partner.pk), "audit": str(audit(actor=actor, action=f"did-{mark}").pk),
        "exclusion": str(exclusion.pk),
        "excluded": str(excluded.pk),
        "connector_type": str(ContentType.objects.get_for_model(Connector).pk),
    }  # fmt: skip
    _incident(customer, people)
    catch_up()
    _engine(customer, pair[0])
    return customer


def _alert(customer: Customer, **fields: Any) -> Alert:
    mark = customer.mark
    return make_alert(
        partner=customer.partner, source=f"src-{mark}", source_id=f"id-{mark}-{uuid7()}", rule_name=f"Rule {mark}",
        description=f"Description {mark}", tags=[mark], normalized={"word": mark}, iocs={"domains": [mark]},
        payload={"title": mark, "secret": f"payload {mark}"}, severity="high", **fields,
    )  # fmt: skip


def _incident(customer: Customer, people: dict[str, User]) -> None:
    mark, actor = customer.mark, people["admin"].actor
    linked = _alert(customer, title=f"Linked {mark}")
    # What the first alert mentions too: it possibly belongs to this incident.
    alert_services.add_observables(actor=actor, alert=linked, values=[("domain", f"evil-{mark}.com")])
    incident = incident_services.open_incident(
        actor=actor, title=f"Incident {mark}", description=f"About {mark}", partner=customer.partner, tags=[mark],
        alerts=[linked], owner=people["lead"],
    )  # fmt: skip
    comment = incident_services.comment_incident(actor=actor, incident=incident, text=f"Note {mark}")
    handoff = incident_services.hand_off(
        actor=people["lead"].actor, incident=incident, to_user=people["analyst"], text=f"Over to you {mark}",
        open_questions=[f"Who is {mark}?"], shift=mark,
    )  # fmt: skip
    incident_services.add_observables(actor=actor, incident=incident, values=[("domain", f"c2-{mark}.com")])
    customer.ids |= {
        "linked_alert": str(linked.pk), "incident": str(incident.pk), "number": str(incident.number),
        "incident_comment": str(comment.pk), "handoff": str(handoff.pk),
    }  # fmt: skip


def _engine(customer: Customer, alert: Alert) -> None:
    mark, partner = customer.mark, customer.partner
    version = PlaybookVersion.objects.create(
        source_hash=mark.ljust(64, "0"), entry=f"{mark}.py", sources={f"{mark}.py": f"# {mark}"}
    )
    playbook = Playbook.objects.create(
        name=f"playbook-{mark}", description=f"Answers {mark}", module_path=mark, function_name=mark, partner=partner,
        current=version,
    )  # fmt: skip
    sequence = Sequence.objects.create(
        partner=partner, alert=alert, event="manual", correlation_id=uuid7(), state="held", total=1
    )
    call = uuid7()
    run = PlaybookRun.objects.create(
        sequence=sequence, position=1, playbook=playbook, source=version, state="needs_attention",
        subject=f'{{"title": "{mark}"}}', input=f'"{mark}"', requested_name=mark,
        question={"reason": "unknown_outcome", "text": f"Did {mark} happen?", "call_id": str(call),
                  "choices": ["done", "not_done", "again", "cancel"], "detail": {"name": mark}},
    )  # fmt: skip
    ActionResult.objects.create(
        id=call, run=run, key="0", name=f"isolate-{mark}", args_digest=b"0" * 32, input=f'{{"host": "{mark}"}}',
        state="unknown", idempotency_key=uuid7(), error=mark,
    )  # fmt: skip
    ActionAttempt.objects.create(
        call_id=call, run_id=run.pk, number=1, worker_id=uuid7(), fence=1, error=mark
    )
    waiting = PlaybookRun.objects.create(
        sequence=Sequence.objects.create(
            partner=partner, alert=alert, event="manual", correlation_id=uuid7(), state="waiting", total=1,
            wake_at=IN_AN_HOUR, waits_for=f"Waits for {mark}.", lanes=[f"{partner.pk}:hostname={mark}"],
        ),
        position=1, playbook=playbook, source=version, state="waiting", requested_name=mark,
    )  # fmt: skip
    approval = Approval.objects.create(
        run=waiting,
        summary=f"Isolate {mark}?",
        of=f'{{"host": "{mark}"}}',
        policy=mark,
        expires_at=IN_AN_HOUR,
    )
    RunLog.objects.create(run=waiting, key="0.1", level="info", text=f"Looked at {mark}")
    failed = PlaybookRun.objects.create(
        sequence=Sequence.objects.create(
            partner=partner, alert=alert, event="manual", correlation_id=uuid7(), state="done", total=1
        ),
        position=1, playbook=playbook, source=version, state="failed", error=mark, finished_at=timezone.now(),
    )  # fmt: skip
    secret = Secret.objects.create(
        name=f"key-{mark}", description=f"For {mark}", partner=partner, value=mark.encode()
    )
    source = AlertSource.objects.create(slug=f"lab-{mark}")
    connector = Connector.objects.create(
        kind="docker",
        name=f"docker {mark}",
        partner=partner,
        config={"host": f"tcp://{mark}"},
        secrets=b"sealed",
    )
    customer.ids |= {
        "playbook": str(playbook.pk), "run": str(run.pk), "waiting_run": str(waiting.pk), "failed_run": str(failed.pk),
        "approval": str(approval.pk), "secret": str(secret.pk), "connector": str(connector.pk), "source": str(source.pk),
    }  # fmt: skip


def missing(customer: Customer) -> Customer:
    """Ids of the same forms that nobody has."""
    gone = Customer("zznobody", customer.partner, {})
    for name, value in customer.ids.items():
        try:
            UUID(value)
            gone.ids[name] = str(uuid7())
        except ValueError:
            gone.ids[name] = value.replace(customer.mark, gone.mark)
    gone.ids |= {"number": "987654", "suggestion": str(uuid7())}
    return gone
