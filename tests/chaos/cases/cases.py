"""Per kind of call a playbook whose first call is struck at, and one that follows: see test_failpoints.py."""

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
async def last_idem(label):
    return await send("idem", label)


@action(idempotent=False, verify=there)
async def last_verified(label):
    return await send("verified", label)


@action(idempotent=False)
async def last_once(label):
    return await send("once", label)


async def struck(target, last, alert):
    try:
        await target(f"{alert.source_id}/1/1")
        await sleep(2)  # long enough to be parked
    finally:
        await last(f"{alert.source_id}/1/2")


@playbook(trigger="idem", order=10)
async def case_idem(alert):
    await struck(target_idem, last_idem, alert)


@playbook(trigger="verified", order=10)
async def case_verified(alert):
    await struck(target_verified, last_verified, alert)


@playbook(trigger="once", order=10)
async def case_once(alert):
    await struck(target_once, last_once, alert)


@playbook(trigger="webhook", order=20)
async def follows(alert):
    await last_idem(f"{alert.source_id}/2/1")
