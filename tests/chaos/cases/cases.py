"""One call that something strikes at, per kind of call: see test_failpoints.py."""

from opensoar import action, playbook, sleep
from playbooks_engine import failpoints
from tests.chaos.wire import send


async def there(label):
    effect = (await send("ask", label))["effect"]
    return effect and {"label": label}


async def strike_at(kind, label):
    answer = await send(kind, label)
    failpoints.reached("call.during", f"target_{kind}")  # it is done out there, and nobody here knows yet
    return answer["label"]


@action(idempotent=True, timeout=60)
async def target_idem(label):
    return await strike_at("idem", label)


@action(idempotent=False, verify=there, timeout=60)
async def target_verified(label):
    return await strike_at("verified", label)


@action(idempotent=False, timeout=60)
async def target_once(label):
    return await strike_at("once", label)


@action(idempotent=True)
async def afterwards(label):
    return await send("idem", label)


async def struck(target, alert):
    try:
        await target(f"{alert.source_id}/1/1")
        await sleep(2.5)  # long enough to be parked
    finally:
        await afterwards(f"{alert.source_id}/1/2")


@playbook(trigger="idem", order=10)
async def case_idem(alert):
    await struck(target_idem, alert)


@playbook(trigger="verified", order=10)
async def case_verified(alert):
    await struck(target_verified, alert)


@playbook(trigger="once", order=10)
async def case_once(alert):
    await struck(target_once, alert)


@playbook(trigger="webhook", order=20)
async def follows(alert):
    await afterwards(f"{alert.source_id}/2/1")
