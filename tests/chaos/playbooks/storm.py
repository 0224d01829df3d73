"""Three playbooks per alert. A call's label says where it belongs: ``alert/position/path``.

A path alternates steps (numbers, in order) and branches (names, at once): see invariants.in_order.
"""

import asyncio

from opensoar import action, add_current_alert_comment, playbook, sleep
from tests.chaos.wire import Refused, send, send_blocking, started


async def there(label):
    """verify=: what the call gave if it was made, else None."""
    effect = (await send("ask", label))["effect"]
    return effect and {"label": label, "coin": effect["coin"]}


@action(idempotent=True, retries=5, retry_backoff=0.05, timeout=2)
async def idem(label):
    return await send("idem", label)


@action(retries=5, retry_backoff=0.05, timeout=2)
async def plain(label):
    return await send("plain", label)


@action(retries=2, retry_backoff=0.05, timeout=20)
def blocking(label):
    return send_blocking("blocking", label)


@action(idempotent=False, timeout=2)
async def once(label):
    return await send("once", label)


@action(idempotent=False, verify=there, timeout=2)
async def verified(label):
    return await send("verified", label)


@action(retries=1, retry_backoff=0.05)
async def fails(label):
    return await send("fails", label, mishap="500", times=99)


async def branch(label, steps):
    return [(await (idem if n % 2 else plain)(f"{label}/{n}"))["label"] for n in range(1, steps + 1)]


async def nested(label):
    inner = await asyncio.gather(*(branch(f"{label}/1/{name}", 2) for name in "xyz"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(branch(f"{label}/2/{name}", 1)) for name in "pq"]
    return [*inner, *(task.result() for task in tasks)]


@playbook(trigger="webhook", order=10)
async def gathers(alert):
    me = f"{alert.source_id}/1"
    started(alert.source_id, "gathers")
    first = await plain(f"{me}/1")
    both = await asyncio.gather(
        *(branch(f"{me}/2/b{n}", 1) for n in range(6)), nested(f"{me}/2/n"), branch(f"{me}/2/c", 2)
    )
    await add_current_alert_comment(f"{me}/3")
    return [first["label"], both]


@playbook(trigger="webhook", order=20)
async def catches(alert):
    me = f"{alert.source_id}/2"
    started(alert.source_id, "catches")
    caught = ""
    held = await idem(f"{me}/1")
    try:
        await fails(f"{me}/2")
    except Refused as error:
        caught = str(error)
    try:
        side = "even" if held["coin"] % 2 == 0 else "odd"
        await plain(f"{me}/3/{side}/1")
        await blocking(f"{me}/4")
        if held["coin"] % 3 == 0:
            raise ValueError("a third of them fails here")
        return [caught, side]
    except (Refused, ConnectionError, TimeoutError):
        return [caught, "unlucky"]
    finally:
        await idem(f"{me}/5")


@playbook(trigger="webhook", order=30)
async def waits(alert):
    me = f"{alert.source_id}/3"
    started(alert.source_id, "waits")
    outcomes = []
    for step, work in ((1, once), (2, verified)):
        try:
            outcomes.append(bool(await work(f"{me}/{step}")))
        except (Refused, ConnectionError, TimeoutError):
            outcomes.append(False)
    await sleep(2 if "long" in alert.tags else 0.3)
    return [outcomes, (await idem(f"{me}/4"))["label"]]
