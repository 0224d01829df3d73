"""opensoar.testing: what authors test their playbooks with, on the engine's own run and no database."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from opensoar import (
    action,
    add_current_alert_comment,
    add_incident_comment,
    add_observable,
    assign_current_alert,
    assign_incident,
    create_incident,
    current_incident,
    link_current_alert,
    log,
    playbook,
    request_approval,
    resolve_current_alert,
    secret,
    sleep,
    update_current_alert,
    update_incident,
)
from opensoar.testing import fake_alert, fake_incident, fake_observable, run_playbook, run_playbook_sync
from playbooks_engine.alert import FIELDS
from playbooks_engine.history import ip_history

ROOT = Path(__file__).resolve().parents[2]
effects: list[str] = []


@pytest.fixture(autouse=True)
def _no_effects() -> Iterator[None]:
    effects.clear()
    return


@action(idempotent=True)
async def look_up(ip: str) -> Any:
    effects.append(f"look_up {ip}")
    await asyncio.sleep(0)
    return {"ip": ip, "pair": (1, 2)}


@action(idempotent=False)
def isolate(host: str) -> str:
    effects.append(f"isolate {host}")
    return f"isolated {host}"


@action()
async def release(host: str) -> None:
    effects.append(f"release {host}")


@action(retries=3, retry_backoff=3600)
async def moody() -> int:
    effects.append("moody")
    if effects.count("moody") < 3:
        raise ConnectionError("not now")
    return effects.count("moody")


@playbook("webhook")
async def triage(alert: Any) -> Any:
    one, two = await asyncio.gather(look_up(alert.source_ip), look_up(alert.dest_ip))
    await update_current_alert(status="in_progress", reason="looked")
    try:
        await isolate(alert.hostname)
        await sleep(timedelta(days=2))
        answer = await request_approval(f"Resolve {alert.title}?", of={"host": alert.hostname})
    finally:
        await release(alert.hostname)
    if answer:
        await resolve_current_alert(determination="malicious", reason="by approval")
        await add_current_alert_comment(" done ")
    return {"pairs": [one["pair"], two["pair"]], "by": answer.by}


# --- one run ---------------------------------------------------------------------------------------------------------


async def _triage(**options: Any) -> Any:
    return await run_playbook(triage, alert=fake_alert(severity="critical"), **options)


def test_a_run_tells_what_it_did() -> None:
    result = asyncio.run(_triage())
    assert result.state == "success", result.error
    assert result.result == {"pairs": [[1, 2], [1, 2]], "by": "analyst"}, "after its JSON round trip"
    assert result.actions == ["look_up", "look_up", "isolate", "release"]
    assert [call.arguments for call in result.calls_of("isolate")] == [{"host": "ws-042"}]
    assert result.calls_of("isolate")[0].result == "isolated ws-042"
    assert result.alert_updates == [
        {"status": "in_progress", "reason": "looked"},
        {"status": "resolved", "determination": "malicious", "reason": "by approval"},
    ]
    assert result.comments == ["done"]
    assert result.alert is not None
    assert (result.alert.status, result.alert.determination) == ("resolved", "malicious")
    assert (result.alert.resolve_reason, result.alert.resolved_at) == (
        "by approval",
        "2026-01-07T09:00:00+00:00",
    )
    assert result.slept == timedelta(days=2).total_seconds()
    assert result.approvals[0]["summary"] == "Resolve Suspicious PowerShell on ws-042?"
    assert result.approvals[0]["state"] == "approved"
    assert result.replays == 2, "after two days, and once people had answered"
    assert effects.count("isolate ws-042") == 1


@pytest.mark.parametrize(
    ("approve", "state", "by"),
    [
        (False, "denied", "analyst"),
        (None, "expired", None),
        (lambda asked: asked["of"]["host"] != "ws-042", "denied", "analyst"),
    ],
)
def test_people_may_say_no_or_nothing(approve: Any, state: str, by: str | None) -> None:
    result = asyncio.run(_triage(approve=approve))
    assert result.state == "success"
    assert result.approvals[0]["state"] == state
    assert result.result["by"] == by
    assert result.comments == []


def test_answers_are_given_instead_of_doing_it() -> None:
    async def slowly(host: str) -> str:
        await asyncio.sleep(0)
        return f"not {host}"

    result = asyncio.run(
        _triage(answers={"look_up": {"pair": [3]}, "isolate": slowly, "release": RuntimeError("away")})
    )
    assert effects == []
    assert (result.state, result.error) == ("failed", "RuntimeError: away")
    assert "release(alert.hostname)" in result.traceback
    assert result.calls_of("look_up")[0].arguments == {"ip": "198.51.100.23"}
    assert [call.result for call in result.calls_of("isolate")] == ["not ws-042"]
    assert result.calls_of("release")[0].error == "away"


def test_an_answer_to_a_misspelt_action_is_an_error_and_not_a_real_isolation() -> None:
    with pytest.raises(ValueError, match="answers has 'isolat', the action is called 'isolate'"):
        asyncio.run(_triage(answers={"isolat": None}))
    assert effects == []


def test_retries_do_not_wait() -> None:
    @playbook()
    async def trying(input: Any) -> Any:
        return await moody()

    began = time.monotonic()
    result = run_playbook_sync(trying)
    assert time.monotonic() - began < 5
    assert (result.result, result.calls[0].attempts, result.slept) == (3, 3, 0)


def test_secrets_are_masked_as_the_engine_does() -> None:
    @playbook()
    async def telling(alert: Any) -> Any:
        key = secret("key")
        log.warning("with %s", key)
        await look_up(key)
        await add_current_alert_comment(f"used {key}")
        await request_approval(f"Use {key}?")
        try:
            secret("kye")
        except LookupError as error:
            return {"key": key, "error": str(error)}

    result = run_playbook_sync(telling, alert={}, secrets={"key": "hunter22"})
    assert result.state == "success", result.error
    assert result.result["key"] == "••••(key)"
    assert "did you mean 'key'" in result.result["error"]
    assert result.logs == [("warning", "with ••••(key)")]
    assert result.comments == ["used ••••(key)"]
    assert effects == ["look_up hunter22"], "the action itself gets it"
    assert "hunter22" not in repr(result)


def test_a_secret_that_is_a_number_is_masked_where_it_is_one() -> None:
    @action()
    async def dial() -> Any:
        return {"pin": int(secret("pin")), "port": 8443}

    @playbook()
    async def phone(input: Any) -> Any:
        return [await dial(), await dial()]

    result = run_playbook_sync(phone, secrets={"pin": "123456"}, crash_everywhere=True)
    assert result.result == [{"pin": "••••(pin)", "port": 8443}] * 2


def test_an_authors_time_limit_on_a_wait_is_its_outcome_in_every_life() -> None:
    @playbook()
    async def limited(input: Any) -> Any:
        try:
            await asyncio.wait_for(sleep(3600), 0.05)
        except TimeoutError:
            return [await look_up("late")]

    result = run_playbook_sync(limited, crash_everywhere=True)
    assert result.result == [{"ip": "late", "pair": [1, 2]}]
    assert [(call.name, call.state) for call in result.calls] == [("sleep", "failed"), ("look_up", "success")]


def test_helpers_check_and_answer_as_the_real_ones() -> None:
    @playbook()
    async def helping(alert: Any) -> Any:
        owner = await assign_current_alert(username="grace")
        refused = []
        for changes in ({"status": "resolved", "determination": "benign"}, {"determination": "unknown"}):
            try:
                await update_current_alert(**changes)
            except ValueError as error:
                refused.append(str(error))
        await alert.refresh()
        made = await create_incident(severity="low")
        await add_incident_comment("opened")
        await update_incident(status="closed", determination="benign", impact="none", summary="no harm")
        other = await link_current_alert(1042)
        await assign_incident("ada")
        await add_observable("ip", "203.0.113.9", tags=["scanner"])
        history = await ip_history("203.0.113.9")
        try:
            await link_current_alert(7)
        except ValueError as error:
            refused.append(str(error))
        current = current_incident()
        return [
            owner["assigned_username"], alert.status, made.number, other.title, history["alerts"], refused,
            current.assigned_username if current else None,
        ]  # fmt: skip

    known = {**_history("203.0.113.9"), "alerts": 5}
    result = run_playbook_sync(
        helping,
        alert=fake_alert(),
        incidents=[fake_incident(title="there before")],
        answers={"ip_history": known},
    )
    assert result.state == "success", result.traceback
    assert result.result == [
        "grace", "resolved", 1043, "there before", 5,
        ["Cannot resolve an alert with determination 'unknown'. Set a determination first.",
         "Incident not found: INC-7"],
        "ada",
    ]  # fmt: skip
    assert [(i.number, i.status, i.severity) for i in result.incidents] == [
        (1042, "open", "high"),
        (1043, "closed", "low"),
    ]
    assert result.incident_comments == ["opened"]
    assert result.observables[0].tags == ["scanner"]
    assert result.alert_updates[0]["assigned_username"] == "grace"


def _history(ip: str) -> dict[str, Any]:
    return {"subject": ip, "by_determination": {}}


def test_what_it_is_about_comes_by_name() -> None:
    @playbook(trigger="incident")
    async def about_incident(incident: Any) -> Any:
        await add_incident_comment("seen")
        return [incident.number, incident.reference]

    @playbook(trigger="observable")
    async def about_observable(observable: Any) -> Any:
        return observable.value

    @playbook()
    async def about_input(input: Any) -> Any:
        return input["pair"]

    found = run_playbook_sync(about_incident, incident={"number": 7})
    assert (found.result, found.incident_comments) == ([7, "INC-7"], ["seen"])
    assert run_playbook_sync(about_observable, observable=fake_observable(value="x")).result == "x"
    assert run_playbook_sync(about_input, input={"pair": (1, 2)}).result == [1, 2]
    with pytest.raises(ValueError, match="not about alert and incident"):
        run_playbook_sync(about_incident, alert={}, incident={})
    with pytest.raises(ValueError, match="an id is a UUID"):
        run_playbook_sync(about_incident, incident={"id": "7"})


def test_when_is_asked_first() -> None:
    @playbook("webhook", when=lambda alert: alert.severity == "critical")
    async def picky(alert: Any) -> Any:
        return await look_up("x")

    skipped = run_playbook_sync(picky, alert=fake_alert(severity="low"))
    assert (skipped.state, skipped.actions, effects) == ("skipped", [], [])
    assert run_playbook_sync(picky, alert=fake_alert(severity="low"), when=False).state == "success"


def test_sleeps_side_by_side_end_in_their_order_and_a_timeout_counts_them() -> None:
    @playbook(timeout=timedelta(hours=1))
    async def waiting(input: Any) -> Any:
        order = []

        async def one(name: str, minutes: int) -> None:
            await sleep(timedelta(minutes=minutes))
            order.append(name)

        await asyncio.gather(one("long", input["long"]), one("short", 10))
        return order

    assert run_playbook_sync(waiting, input={"long": 20}).result == ["short", "long"]
    late = run_playbook_sync(waiting, input={"long": 90})
    assert (late.state, late.error) == ("failed", "The run took longer than its timeout of 3600 s.")


def test_it_runs_beside_the_tests_own_loop_and_takes_blocking_actions() -> None:
    threads: list[str] = []

    @action()
    def blocking() -> None:
        threads.append(threading.current_thread().name)

    @playbook()
    async def block(input: Any) -> None:
        await blocking()

    async def both() -> Any:
        return await asyncio.gather(run_playbook(block), run_playbook(block))

    assert [result.state for result in asyncio.run(both())] == ["success", "success"]
    assert all(name.startswith("action") for name in threads)


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["isolate", 3, "update_current_alert", "sleep", "approval"])
def test_what_had_finished_before_a_crash_is_not_done_again(where: str | int) -> None:
    whole = asyncio.run(_triage())
    done = sorted(effects)
    effects.clear()
    crashed = asyncio.run(_triage(crash_after=where))
    assert crashed.result == whole.result
    assert sorted(effects) == done, "no call twice, and the finally fired nothing when the worker died"
    assert crashed.replays == whole.replays + 1
    assert crashed.comments == whole.comments
    assert crashed.alert_updates == whole.alert_updates


def test_a_lost_outcome_is_called_again_and_marked_or_asks_a_person() -> None:
    again = asyncio.run(_triage(crash_before_result="look_up"))
    assert again.state == "success"
    assert sorted((call.repeated, call.attempts) for call in again.calls_of("look_up"))[-1] == (True, 2)
    effects.clear()
    asking = asyncio.run(_triage(crash_before_result="isolate"))
    assert asking.state == "needs_attention"
    assert "'isolate' was started, and its outcome is unknown" in asking.error
    assert effects.count("isolate ws-042") == 1
    assert "release ws-042" not in effects, "a run that asks is let go without its finally"


def test_a_helper_and_its_record_are_one() -> None:
    crashed = asyncio.run(_triage(crash_before_result="add_current_alert_comment"))
    assert (crashed.state, crashed.comments) == ("success", ["done"])


def test_a_target_that_can_be_asked_is_asked() -> None:
    asked = []

    def was_isolated(host: str) -> str:
        asked.append(host)
        return "found isolated"

    @action(idempotent=False, verify=was_isolated)
    async def carefully(host: str) -> str:
        effects.append(host)
        return "isolated"

    @playbook()
    async def careful(input: Any) -> Any:
        return await carefully("ws-1")

    result = run_playbook_sync(careful, crash_before_result="carefully")
    assert (result.result, effects, asked) == ("found isolated", ["ws-1"], ["ws-1"])


def test_a_crash_that_never_comes_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the run made no such call\. Those it made: look_up"):
        asyncio.run(_triage(crash_after="isolat"))
    with pytest.raises(ValueError, match="at a time"):
        asyncio.run(_triage(crash_after=1, crash_everywhere=True))


def test_crash_everywhere_passes_what_replays_alike() -> None:
    result = asyncio.run(_triage(crash_everywhere=True))
    assert result.state == "success"
    calls = len(result.calls)
    lost = sum(call.kind == "action" and call.name != "isolate" for call in result.calls)
    assert effects.count("isolate ws-042") == 1 + calls + lost, "once per run: no crash made it twice"


def test_crash_everywhere_finds_what_does_not() -> None:
    numbers = itertools.count()

    @playbook()
    async def random_way(input: Any) -> Any:
        await look_up("first")
        await look_up(f"number {next(numbers)}")

    asking = run_playbook_sync(random_way, crash_after=2)
    assert asking.state == "needs_attention"
    assert "On replay the playbook called 'look_up'" in asking.error
    with pytest.raises(AssertionError, match=r"after call 1 \(look_up\) changes the calls of the run"):
        run_playbook_sync(random_way, crash_everywhere=True)

    @playbook()
    async def kept_outside(input: Any) -> Any:
        await look_up("first")
        return next(numbers)

    with pytest.raises(AssertionError, match=r"after call 1 \(look_up\) changes the result"):
        run_playbook_sync(kept_outside, crash_everywhere=True)


# --- fakes -----------------------------------------------------------------------------------------------------------


def test_fakes_have_every_field_and_no_other() -> None:
    alert = fake_alert(severity="low")
    assert set(alert) == set(FIELDS)
    assert (alert.severity, alert.status, alert.hostname) == ("low", "new", "ws-042")
    empty = {name for name in FIELDS if alert[name] is None}
    assert empty == {"assigned_to", "assigned_username", "resolved_at", "resolve_reason"}
    assert fake_incident(number=7).reference == "INC-7"
    with pytest.raises(TypeError, match=r"an alert has no field 'severty' \(did you mean 'severity'\?\)"):
        fake_alert(severty="low")
    alert.tags.append("mine")
    assert fake_alert().tags == ["endpoint", "powershell"]


def test_what_is_no_playbook_is_refused() -> None:
    with pytest.raises(TypeError, match="'look_up' is not declared with @playbook"):
        run_playbook_sync(look_up)


def test_it_needs_no_settings_no_database_and_no_broker(tmp_path: Path) -> None:
    script = """
    import sys
    from opensoar import action, playbook, secret, sleep, update_current_alert
    from opensoar.testing import fake_alert, run_playbook
    assert "django" not in sys.modules
    import asyncio

    @action()
    async def look_up(ip):
        return ip

    @playbook("webhook")
    async def mine(alert):
        await look_up(alert.source_ip)
        await sleep(3600)
        return await update_current_alert(status="in_progress")

    result = asyncio.run(run_playbook(mine, alert=fake_alert(), crash_everywhere=True))
    assert result.actions == ["look_up"], result
    from django.db import connection
    assert not connection.settings_dict["NAME"]
    print(result.result["status"])
    """
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("DJANGO", "OPENSOAR"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script)], cwd=tmp_path, capture_output=True, text=True,
        env=environment | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("in_progress\n", "")
