"""What the nursery's children become: worker, sender, person, victim."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, connection
from psycopg_pool import PoolTimeout

from alerts import ingest
from alerts.intake import Envelope, read_body
from alerts.senders import Sender
from opensoar.actors import Actor
from opensoar.errors import ServiceError
from playbooks_engine import beat, failpoints, isolation, journal, middleware, services, watchdog
from playbooks_engine import isolated as isolated_process
from playbooks_engine import worker as engine
from playbooks_engine.models import PlaybookRun
from playbooks_engine.worker import Engine
from tests.chaos import wire
from tests.chaos.offspring import ISOLATED, Offspring, name_process

AWAY = (DatabaseError, InterfaceError, PoolTimeout, psycopg.Error, ingest.Unavailable)


def become(role: str, args: list[str]) -> None:
    """Run a role in this new process, with a log and database connections of its own."""
    root = Path(os.environ["CHAOS_DIR"])
    log = os.open(root / f"{role}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["PGAPPNAME"] = (
        f"{role}-{os.getpid()}"  # by which pg_stat_activity tells whose connection it is
    )
    random.seed()  # every child of a fork would otherwise sleep the same jitter
    logging.basicConfig(level="WARNING", format=f"%(asctime)s {os.getpid()} %(name)s %(message)s", force=True)
    ROLES[role](root, *args)


def worker(root: Path, capacity: str = "100", lease: str = "") -> None:
    """An engine with a broker's consumer beside it, as a Dramatiq worker has; ends by SIGTERM or SIGKILL."""
    import dramatiq

    from playbooks_engine.tasks import dispatch

    isolation.start_process = Offspring(isolated)
    own = Engine(
        directories=settings.PLAYBOOK_DIRS,
        lease=float(lease or settings.LEASE_SECONDS),
        capacity=int(capacity),
    )
    while True:
        try:
            journal.bound_transactions(settings.LEASE_SECONDS)
            own.start()
            break
        except AWAY:  # as the supervisor would: try again
            connection.close()
            time.sleep(0.2)
    middleware._engine = own
    consumer = dramatiq.Worker(dispatch.broker, worker_threads=1)
    consumer.start()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    while not ended:
        time.sleep(0.1)
    consumer.stop()  # its middleware stops the engine
    os._exit(0)


def isolated() -> None:
    """What a worker starts for runs that must not share a process."""
    name_process(ISOLATED)
    os.environ["PGAPPNAME"] = f"worker-{os.getpid()}"
    random.seed()
    isolated_process.main()


def receive(source_id: str, **payload: Any) -> str:
    """Store an alert as the webhook does; the id that its sender is answered."""
    body = json.dumps({"title": source_id, "severity": "high", "source_id": source_id, **payload}).encode()
    incoming = read_body(body, Envelope(sender=Sender(token_id=None, name="chaos")))
    ingest.store(incoming)
    assert incoming[0].outcome is not None
    return str(incoming[0].outcome.alert_id)


def sender(root: Path, total: str, seconds: str, began: str) -> None:
    """Sends alerts spread over ``seconds``, each until it is answered; what was answered goes to its own book."""
    book = root / "acknowledged"
    done = len(book.read_text().splitlines()) if book.exists() else 0
    acknowledged = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(done, int(total)):
        time.sleep(max(0.0, float(began) + number * float(seconds) / int(total) - time.time()))
        source_id = f"s{number}"
        tags = ["long"] if number % 8 == 0 else ["short"]
        while True:
            try:
                alert_id = receive(source_id, tags=tags)
                break
            except AWAY:
                connection.close()
                time.sleep(0.2)
        os.write(acknowledged, f"{source_id} {alert_id}\n".encode())
    while True:
        time.sleep(1)


def store(root: Path, source: str, *source_ids: str) -> None:
    """Stores alerts of one source and ends."""
    for source_id in source_ids:
        receive(source_id, source=source)
    os._exit(0)


def person(root: Path) -> None:
    """Answers what runs ask, by what the ledger says; notes every question, for the verdict."""
    answers = os.open(root / "answers", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    actor = Actor.system("a person")
    while True:
        try:
            for run in PlaybookRun.objects.filter(state="needs_attention"):
                question = run.question or {}
                decision, value = decide(question)
                note = {
                    "reason": question.get("reason"),
                    "choices": question.get("choices"),
                    "decision": decision,
                }
                label = ((question.get("detail") or {}).get("arguments") or {}).get("label", "")
                os.write(answers, json.dumps({"run": str(run.pk), "label": label, **note}).encode() + b"\n")
                services.decide_run(actor=actor, run=run, decision=decision, value=value)
        except (*AWAY, OSError):  # the database, or the target that is asked what happened
            connection.close()
        except (ServiceError, ValidationError):
            logging.exception("answer refused")
        time.sleep(0.2)


def decide(question: dict[str, Any]) -> tuple[str, Any]:
    """The honest answer."""
    if question.get("reason") == "unknown_outcome":
        label = question["detail"]["arguments"]["label"]
        effect = wire.send_blocking("ask", label)["effect"]
        return ("done", {"label": label, "coin": effect["coin"]}) if effect else ("not_done", None)
    return ("again", None) if "again" in question.get("choices", ()) else (question["choices"][0], None)


def victim(root: Path, fault: str, point: str, source_id: str, kind: str, lease: str) -> None:
    """A worker that runs only the case ``source_id``, or a sender that stores it; struck once, at ``point``."""
    struck: list[str] = []
    played = {"", f"case_{kind}", f"target_{kind}"}  # not what follows it

    def strike(reached: str, what: str) -> None:
        if reached == point and not struck and what in played:
            struck.append(what)
            (root / f"struck-{os.getpid()}").touch()
            FAULTS[fault](root)

    failpoints.hook = strike
    if point.startswith("transaction."):
        _strike_inside_a_transaction(strike, point)
    if point.startswith(("hook.", "bell.")):
        with contextlib.suppress(*AWAY):
            receive(source_id, source=kind)
        time.sleep(3600)
    # Only its own case, and nobody else's rescue: what comes out must not depend on which victim is quicker.
    own = f"SELECT a.id FROM alerts_alert a WHERE a.source_id = '{source_id}'"
    engine.CLAIM = engine.CLAIM.replace("state = 'ready'", f"state = 'ready' AND alert_id IN ({own})")
    beat.Rescuer.sweep = lambda *_: 0  # type: ignore[method-assign]
    watchdog.ISOLATE_TICKS = 1_000_000  # it would rightly isolate a playbook under which we hold the loop
    worker(root, "1", lease)


def _strike_inside_a_transaction(strike: Callable[[str, str], None], point: str) -> None:
    """While the journal stores and holds its sequence: between two statements, or while it sends a pipeline of them."""
    original = journal.held_claims

    def held_claims(claims: list[journal.Claim]) -> set[journal.Claim]:
        held = original(claims)
        if point == "transaction.idle":
            strike(point, "")
            return held
        with connection.connection.pipeline():  # as executemany() does
            connection.connection.execute("SELECT 1")
            connection.connection.pgconn.send_flush_request()
            connection.connection.pgconn.flush()
            strike(point, "")
        return held

    journal.held_claims = held_claims


def _cut(root: Path) -> None:
    with psycopg.connect(os.environ["CHAOS_ADMIN"], autocommit=True, application_name="chaos") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            (os.environ["PGAPPNAME"],),
        )


def _hold(root: Path) -> None:
    """Stand still until the database has been killed and is back."""
    while not (root / "go").exists():
        time.sleep(0.01)


FAULTS: dict[str, Callable[[Path], Any]] = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "pause": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "cut": _cut,
    "crash": _hold,
}
ROLES: dict[str, Callable[..., None]] = {
    "worker": worker, "sender": sender, "store": store, "person": person, "victim": victim,
}  # fmt: skip
