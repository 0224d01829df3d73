"""What the intel services say of the attackers' addresses, names and files, since when it is known."""

from __future__ import annotations

from alerts.models import Observable
from alerts.services import add_enrichment
from opensoar.actors import Actor
from opensoar.demo.desk import Desk
from opensoar.demo.playbooks._intel import INTEL

# Minutes before now at which enrich_observables asked about a value.
ASKED = {
    "203.0.113.77": 68.9,
    "cdn-telemetry.example": 68.9,
    "payroll-verify.example": 96.5,
    "9f2c61b08a4d6f3be5c7712094adfe0123c86b5d90e4f7a1b2c3d4e577e3d41a": 73.5,
    "198.51.100.23": 675.9,
    "192.0.2.144": 47.9,
    "pool.minexmr-proxy.example": 10.9,
    "198.51.100.201": 51.9,
    "supplier-billing.example": 1175.0,
}
ASKER = Actor(kind="playbook", id=None, name="enrich_observables")


def tell(desk: Desk) -> None:
    """Every service's word on every value."""
    for value, age in ASKED.items():
        desk.at(age, enrich, value)


def enrich(value: str) -> None:
    """Store what each service says, where the value has been seen."""
    for observable in Observable.objects.filter(value=value):
        for source, (malicious, score, data) in INTEL[value].items():
            add_enrichment(
                actor=ASKER, observable=observable, source=source, data=data, malicious=malicious, score=score
            )
