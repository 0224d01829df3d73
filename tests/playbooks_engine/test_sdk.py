"""Decorators record and leave the function callable; helpers check before they ask the engine."""

import asyncio
import inspect
from datetime import timedelta

import pytest

from opensoar import (
    action,
    add_current_alert_comment,
    assign_current_alert,
    get_current_alert_id,
    playbook,
    resolve_current_alert,
    update_current_alert,
)
from opensoar.conditions import ConditionError
from playbooks_engine.alert import FIELDS, Alert
from playbooks_engine.context import NoCurrentAlert, NoCurrentRun
from playbooks_engine.history import host_history, ip_history

from .fake_run import FakeRun


def run(coroutine):
    return asyncio.run(coroutine)


def in_run(coroutine_function, fake, *args, **kwargs):
    async def go():
        with fake.current():
            return await coroutine_function(*args, **kwargs)

    return asyncio.run(go())


# --- @playbook ---------------------------------------------------------------------------------


def test_playbook_returns_the_function_itself():
    async def plain(alert):
        return alert

    assert playbook("webhook")(plain) is plain
    assert run(plain("x")) == "x"
    spec = plain.opensoar_playbook
    assert (spec.name, spec.trigger, spec.order, spec.priority) == ("plain", "webhook", 1000, "default")
    assert spec.source_file == __file__
    assert spec.func is plain


def test_everything_declared_is_in_the_spec():
    def only_big(alert):
        return True

    @playbook(
        "elastic",
        conditions={"severity__gte": "high"},
        description="what it does",
        name="named",
        order=-5,
        priority="high",
        on_failure="stop",
        enabled=False,
        aliases=["older", "oldest"],
        when=only_big,
    )
    async def function(alert): ...

    spec = function.opensoar_playbook
    assert spec.name == "named"
    assert spec.names == ("named", "older", "oldest")
    assert spec.conditions.to_json() == {"severity__gte": "high"}
    assert (spec.order, spec.priority, spec.on_failure, spec.enabled) == (-5, "high", "stop", False)
    assert spec.when is only_big
    assert spec.description == "what it does"
    assert spec.function_name.endswith("function")
    assert spec.line == inspect.getsourcelines(function)[1]


def test_what_starts_a_playbook_besides_alerts():
    @playbook("Incident.Closed", conditions={"severity__gte": "high"}, timeout=timedelta(hours=1))
    async def closed(incident): ...

    @playbook("schedule", cron=" */15  8-18 * * mon-fri", max_concurrent=1)
    async def scheduled(input): ...

    @playbook(
        "observable", conditions={"type": ["ip"], "value__cidr": "10.0.0.0/8", "internal": True}, lane="value"
    )
    async def seen(observable): ...

    @playbook("webhook", lane="hostname", lane_hold=True, timeout=2.5)
    async def held(alert): ...

    closed, scheduled = closed.opensoar_playbook, scheduled.opensoar_playbook
    assert (closed.trigger, closed.timeout, closed.cron, closed.lane) == (
        "incident.closed",
        3600.0,
        None,
        None,
    )
    assert closed.conditions.matches({"severity": "critical"})
    assert (scheduled.cron, scheduled.max_concurrent) == ("*/15 8-18 * * mon-fri", 1)
    seen, held = seen.opensoar_playbook, held.opensoar_playbook
    assert seen.conditions.matches({"type": "ip", "value": "10.0.0.1", "internal": True})
    assert not seen.conditions.matches({"type": "ip", "value": "10.0.0.1", "internal": False})
    assert (seen.lane, held.lane, held.lane_hold, held.timeout) == ("value", "hostname", True, 2.5)


def test_description_falls_back_to_the_docstring():
    @playbook()
    async def documented(alert):
        """First line.

        More.
        """

    assert documented.opensoar_playbook.description == "First line."


def test_manual_is_no_trigger():
    @playbook("manual")
    async def started_by_people(alert): ...

    assert started_by_people.opensoar_playbook.trigger is None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"priority": "hihg"}, ValueError, "high, default, low.*did you mean 'high'"),
        ({"on_failure": "halt"}, ValueError, "continue, stop"),
        ({"ordr": 5}, TypeError, "no option 'ordr'.*did you mean 'order'"),
        ({"condition": {}}, TypeError, "did you mean 'conditions'"),
        ({"lane": "hostnme"}, ValueError, "no field of an alert.*did you mean 'hostname'"),
        ({"lane": "tags"}, ValueError, "names one thing"),
        ({"lane": 5}, TypeError, "name of a field"),
        ({"trigger": "observable", "lane": "hostname"}, ValueError, "no field of an observable"),
        ({"trigger": "schedule", "cron": "* * * * *", "lane": "id"}, ValueError, "max_concurrent=1"),
        ({"lane_hold": True}, ValueError, "give lane="),
        ({"lane": "hostname", "lane_hold": "yes"}, TypeError, "True or False"),
        ({"max_concurrent": 0}, ValueError, "whole number from 1 up"),
        ({"max_concurrent": True}, ValueError, "whole number from 1 up"),
        ({"timeout": 0}, ValueError, "timeout is a number of seconds above 0"),
        ({"timeout": timedelta(-1)}, ValueError, "above 0"),
        ({"timeout": 10**12}, ValueError, "timeout is at most 3660 days"),
        ({"timeout": "5"}, ValueError, "number of seconds"),
        ({"cron": "* * * * *"}, ValueError, "go together"),
        ({"trigger": "webhook", "cron": "* * * * *"}, ValueError, "go together"),
        ({"trigger": "schedule"}, ValueError, "go together"),
        ({"trigger": "schedule", "cron": 5}, TypeError, "cron is an expression"),
        ({"trigger": "schedule", "cron": "* * * *"}, ValueError, "five fields"),
        ({"trigger": "schedule", "cron": "0 * * * * *"}, ValueError, "five fields"),
        ({"trigger": "schedule", "cron": "61 * * * *"}, ValueError, "Bad minute"),
        ({"trigger": "schedule", "cron": "0 0 31 2 *"}, ValueError, "cron '0 0 31 2"),
        (
            {"trigger": "schedule", "cron": "* * * * *", "conditions": {"severity": "high"}},
            ValueError,
            "no conditions",
        ),
        (
            {"trigger": "incident", "conditions": {"hostname": "x"}},
            ConditionError,
            "unknown field 'hostname'",
        ),
        ({"trigger": "incident", "conditions": {"status": "new"}}, ConditionError, "open, investigating"),
        ({"trigger": "observable", "conditions": {"type": "ipp"}}, ConditionError, "did you mean 'ip'"),
        ({"order": "5"}, ValueError, "whole number"),
        ({"order": True}, ValueError, "whole number"),
        ({"order": 2**40}, ValueError, "whole number"),
        ({"enabled": "no"}, TypeError, "True or False"),
        ({"when": "severity"}, TypeError, "plain function"),
        ({"aliases": "old"}, TypeError, "list of names"),
        ({"aliases": [""]}, ValueError, "printable"),
        ({"aliases": [5]}, TypeError, "alias is a string"),
        ({"description": None}, TypeError, "description is a string"),
        ({"description": "a\0b"}, ValueError, "null"),
        ({"trigger": "incident.clsed"}, ValueError, "no trigger.*did you mean 'incident.closed'"),
        ({"trigger": "observable.seen"}, ValueError, "no trigger 'observable.seen'"),
        ({"trigger": ""}, TypeError, "name of a source"),
        ({"trigger": "x" * 51}, ValueError, "at most 50"),
        ({"conditions": {"severty": "high"}}, ConditionError, "did you mean 'severity'"),
        ({"conditions": ["severity"]}, ConditionError, "mapping"),
    ],
)
def test_what_cannot_work_fails_at_declaration(options, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        playbook(**options)


def test_an_async_predicate_is_refused():
    async def when(alert): ...

    with pytest.raises(TypeError, match="plain function"):
        playbook(when=when)


def test_forgotten_parentheses_are_named():
    async def function(alert): ...

    with pytest.raises(TypeError, match=r"@playbook\(\) with parentheses"):
        playbook(function)
    with pytest.raises(TypeError, match=r"@action\(\) with parentheses"):
        action(function)


def test_a_playbook_must_be_async():
    with pytest.raises(TypeError, match="async def"):

        @playbook()
        def blocking(alert): ...


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "\ud800"])
def test_names_are_short_and_printable(name):
    with pytest.raises(ValueError, match="printable"):

        @playbook(name=name)
        async def function(alert): ...


# --- @action -----------------------------------------------------------------------------------


def test_an_action_outside_a_run_is_the_function():
    @action(timeout=0.001, retries=3)
    async def twice(n):
        await asyncio.sleep(0.01)  # no timeout applies here
        return 2 * n

    @action()
    def plain(n):
        return 3 * n

    @action()
    async def fails():
        raise KeyError("as it is")

    assert run(twice(2)) == 4
    assert run(plain(2)) == 6
    with pytest.raises(KeyError, match="as it is"):
        run(fails())
    assert twice.__name__ == "twice"
    assert inspect.iscoroutinefunction(plain)


def test_an_action_inside_a_run_is_the_engine_s():
    @action(name="look_up", timeout=30, retries=2, retry_backoff=3, idempotent=True)
    async def lookup(ip, *, deep=False):
        return {"ip": ip, "deep": deep}

    fake = FakeRun()
    assert in_run(lookup, fake, "10.0.0.1", deep=True) == {"ip": "10.0.0.1", "deep": True}
    assert fake.actions == [("look_up", ("10.0.0.1",), {"deep": True})]
    spec = lookup.opensoar_action
    assert (spec.timeout, spec.retries, spec.idempotent, spec.is_async) == (30, 2, True, True)
    assert [spec.delay_before(attempt) for attempt in (1, 2, 3)] == [0, 3, 9]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeout": 0}, ValueError, "above 0"),
        ({"timeout": None}, ValueError, "number of seconds"),
        ({"timeout": float("inf")}, ValueError, "number of seconds"),
        ({"retries": -1}, ValueError, "from 0 up"),
        ({"retries": 1.5}, ValueError, "whole number"),
        ({"retry_backoff": -1}, ValueError, "from 0 up"),
        ({"idempotent": 1}, TypeError, "True, False or None"),
        ({"verify": "was_it_done"}, TypeError, "verify takes a function"),
        ({"retrys": 2}, TypeError, "did you mean 'retries'"),
        ({"requires": "approval"}, TypeError, "no option 'requires'"),
    ],
)
def test_an_action_s_options_are_checked(options, error, words):
    with pytest.raises(error, match=words):
        action(**options)


# --- helpers -----------------------------------------------------------------------------------

HELPERS = [
    (update_current_alert, {"status": "in_progress"}),
    (resolve_current_alert, {"determination": "benign"}),
    (add_current_alert_comment, {"text": "seen"}),
    (assign_current_alert, {}),
]


@pytest.mark.parametrize(("helper", "arguments"), HELPERS)
def test_helpers_outside_a_run_name_themselves_and_the_cure(helper, arguments):
    with pytest.raises(NoCurrentRun, match=rf"{helper.__name__}\(\).*@playbook"):
        run(helper(**arguments))
    assert issubclass(NoCurrentRun, RuntimeError)


@pytest.mark.parametrize(("helper", "arguments"), HELPERS)
def test_helpers_in_a_run_without_alert_say_so(helper, arguments):
    with pytest.raises(NoCurrentAlert, match="without one"):
        in_run(helper, FakeRun(alert_id=None), **arguments)


@pytest.mark.parametrize(("helper", "arguments"), HELPERS)
def test_helpers_hand_over_complete_arguments(helper, arguments):
    fake = FakeRun()
    in_run(helper, fake, **arguments)
    [(name, given)] = fake.helpers
    assert name == helper.__name__
    assert set(given) == set(inspect.signature(helper).parameters)
    assert {key: value for key, value in given.items() if value is not None} == arguments


def test_current_alert_id():
    assert get_current_alert_id() is None

    async def ask():
        return get_current_alert_id()

    assert in_run(ask, FakeRun("abc")) == "abc"
    assert in_run(ask, FakeRun(None)) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "nothing to change"),
        ({"activity_action": "x", "activity_detail": "y"}, "nothing to change"),
        ({"status": "closed"}, "new, in_progress, resolved"),
        ({"status": "inprogress"}, "did you mean 'in_progress'"),
        ({"determination": "evil"}, "unknown, malicious, suspicious, benign"),
        ({"status": "resolved"}, "malicious, suspicious, benign"),
        ({"status": "resolved", "determination": "unknown"}, "malicious, suspicious, benign"),
    ],
)
def test_update_checks_before_anything_else(arguments, words):
    fake = FakeRun()
    with pytest.raises(ValueError, match=words):
        run(update_current_alert(**arguments))
    with pytest.raises(ValueError, match=words):
        in_run(update_current_alert, fake, **arguments)
    assert fake.helpers == []


@pytest.mark.parametrize("determination", ["unknown", "evil", None])
def test_resolve_wants_a_real_determination(determination):
    with pytest.raises(ValueError, match="malicious, suspicious, benign"):
        run(resolve_current_alert(determination=determination))


def test_comments_are_text():
    with pytest.raises(ValueError, match="empty"):
        run(add_current_alert_comment(" \n"))
    with pytest.raises(TypeError, match="string"):
        run(add_current_alert_comment({"a": 1}))
    fake = FakeRun()
    in_run(add_current_alert_comment, fake, "  seen \n", metadata={"k": 1})
    assert fake.helpers[0][1] == {"text": "seen", "metadata": {"k": 1}}


def test_assign_takes_one_analyst_or_none():
    with pytest.raises(ValueError, match="not both"):
        run(assign_current_alert(analyst_id="a", username="b"))
    with pytest.raises(ValueError, match="UUID"):
        run(assign_current_alert(analyst_id="nope"))
    fake = FakeRun()
    in_run(assign_current_alert, fake, analyst_id="0198F000000070008000000000000001")
    in_run(assign_current_alert, fake, username="dana")
    in_run(assign_current_alert, fake, username="")
    assert [arguments for _, arguments in fake.helpers] == [
        {"analyst_id": "0198f000-0000-7000-8000-000000000001", "username": None},
        {"analyst_id": None, "username": "dana"},
        {"analyst_id": None, "username": None},
    ]


def test_history_checks_its_argument():
    fake = FakeRun(alert_id=None)
    assert in_run(ip_history, fake, " 10.0.0.1 ")["subject"] == "10.0.0.1"
    assert in_run(host_history, fake, " web-1 ")["subject"] == "web-1"
    for helper, argument in ((ip_history, "nope"), (host_history, " ")):
        with pytest.raises(ValueError):
            in_run(helper, fake, argument)
    with pytest.raises(NoCurrentRun, match="ip_history"):
        run(ip_history("10.0.0.1"))


def test_verify_is_kept_with_the_action():
    async def is_blocked(ip): ...

    @action(verify=is_blocked)
    async def block(ip): ...

    assert block.opensoar_action.verify is is_blocked


# --- the alert object --------------------------------------------------------------------------


def sample(**fields):
    return Alert({"id": "1", "title": "Login", "severity": "high", "tags": ["a"], **fields})


def test_attributes_and_keys_answer_alike():
    alert = sample()
    assert alert.title == alert["title"] == alert.get("title") == "Login"
    assert "title" in alert
    assert "hostname" in alert
    assert dict(alert)["severity"] == "high"
    assert list(alert)[: len(FIELDS)] == list(FIELDS)
    assert "hostname" in dir(alert)


@pytest.mark.parametrize("field", FIELDS)
def test_a_known_field_that_is_empty_is_none(field):
    alert = Alert({})
    assert alert[field] is None
    assert getattr(alert, field) is None
    assert alert.get(field) is None
    assert alert.get(field, "default") == "default"


def test_unknown_fields_name_the_nearest():
    alert = sample()
    with pytest.raises(AttributeError, match=r"'sorce_ip'.*did you mean 'source_ip'"):
        _ = alert.sorce_ip
    with pytest.raises(KeyError, match=r"'sorce_ip'.*did you mean 'source_ip'"):
        alert["sorce_ip"]
    assert alert.get("sorce_ip") is None
    assert alert.get("sorce_ip", 5) == 5
    assert "sorce_ip" not in alert
    assert not hasattr(alert, "sorce_ip")


def test_it_is_read_only():
    given = {"tags": ["a"]}
    alert = Alert(given)
    with pytest.raises(AttributeError, match=r"read-only.*update_current_alert"):
        alert.status = "resolved"
    with pytest.raises(AttributeError, match="read-only"):
        del alert.status
    with pytest.raises(TypeError):
        alert["status"] = "resolved"
    alert.tags.append("b")
    assert given == {"tags": ["a"]}
    copied = alert.to_dict()
    copied["tags"].append("c")
    assert alert.tags == ["a", "b"]


def test_equality_copy_and_pickle():
    import copy
    import pickle

    alert = sample()
    assert alert == sample()
    assert alert == dict(alert)
    assert alert != sample(title="Other")
    assert copy.deepcopy(alert) == copy.copy(alert) == pickle.loads(pickle.dumps(alert)) == alert
    assert "Login" in repr(alert)


def test_refresh_reads_anew_as_a_step():
    alert = sample()
    fake = FakeRun(answers={"refresh_alert": {**dict(alert), "status": "in_progress"}})
    assert in_run(alert.refresh, fake) is alert
    assert alert.status == "in_progress"
    assert fake.helpers == [("refresh_alert", {})]
    with pytest.raises(NoCurrentRun, match="refresh"):
        run(sample().refresh())
