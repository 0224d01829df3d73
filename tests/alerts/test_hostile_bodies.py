"""Bodies that nobody should send: none is answered with an error of ours, each is stored as it came, or says why not.

``HOSTILE_BODIES=20000`` for the long run.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from alerts import sources
from alerts.models import Delivery
from tests.alerts.inbound import PATH, Inbound
from tests.alerts.pairs import pairs

NUMBER = int(os.environ.get("HOSTILE_BODIES", "400"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
SAMPLES = [json.loads(given.read_text()) for slug in sources.SLUGS for given, _ in pairs(slug)]
TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "",
    "ä/\0",
)
STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**18, 10**40, "", " ", "\0", "\ud800", "\u202e", "x" * 70_000, "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>", "${jndi:ldap://x}", "../../etc/passwd", "0001-01-01T00:00:00Z", "9999-99-99", [], {},
    [[[[[]]]]], [None], {"": None}, {"$ne": 1}, {"name": {"name": {}}}, list(range(500)), {str(n): n for n in range(300)},
    "1.2.3.4." * 4000, "http://" + "a" * 5000, "a@" * 9000, ["1.1.1.1", 5, None, {"ip": "8.8.8.8"}],
)  # fmt: skip


def mutated(dice: random.Random) -> bytes:
    """A captured payload with a few of its values replaced, removed or buried."""
    payload = json.loads(json.dumps(dice.choice(SAMPLES)))
    for _ in range(dice.randint(1, 6)):
        holder: Any = payload
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = dice.choice(keys)
            child = holder[key]
            if isinstance(child, dict | list) and child and dice.random() < 0.75:
                holder = child
                continue
            if isinstance(holder, dict) and dice.random() < 0.15:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(dice.choice(STRANGE))
            break
    return json.dumps(payload, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def cut(dice: random.Random) -> bytes:
    body = mutated(dice)
    return body[: dice.randrange(len(body) + 1)]


def flipped(dice: random.Random) -> bytes:
    body = bytearray(mutated(dice))
    for _ in range(dice.randint(1, 20)):
        body[dice.randrange(len(body))] = dice.randrange(256)
    return bytes(body)


def noise(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice((0, 1, 7, 100, 5000)))


def nested(dice: random.Random) -> bytes:
    depth = dice.choice((10, 33, 500, 50_000))
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * depth + b"1" + closing * dice.choice((depth, 0))


def lines(dice: random.Random) -> bytes:
    some = [dice.choice((mutated, cut, noise))(dice) for _ in range(dice.randint(1, 5))]
    return dice.choice((b"\n", b"\r\n", b"\n\n \n")).join(some)


def event_line(dice: random.Random) -> bytes:
    head = dice.choice(
        (b"CEF:0|a|b|c|d|e|", b"LEEF:2.0|a|b|c|d|x09|", b"<13>Nov 24 host CEF:0|", b"LEEF:1.0|a|b|c|")
    )
    return head + b" ".join(
        dice.choice((b"src=1.2.3.4", b"=", b"\\=", b"a=" + b"\\" * 999, b"|", b"msg=\xff")) for _ in range(20)
    )


def form(dice: random.Random) -> bytes:
    return dice.choice((b"payload=", b"a=1&payload=%7B", b"&" * 5000, b"x=%00%ff&")) + noise(dice)


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (
    mutated, mutated, mutated, cut, flipped, noise, nested, lines, event_line, form,
)  # fmt: skip


@pytest.mark.timeout(1800 if NUMBER > 5000 else 240)
def test_every_body_is_kept_or_refused_by_the_rules(inbound: Inbound) -> None:
    dice = random.Random(SEED)
    answers: Counter[int] = Counter()
    slugs = ("", *sources.SLUGS, "nobody-wrote-one", "%00", "ä")
    for number in range(NUMBER):
        body = dice.choice(MAKERS)(dice)
        slug, kind = dice.choice(slugs), dice.choice(TYPES)
        packed = dice.random() < 0.1
        sent = gzip.compress(body, mtime=0)[: None if dice.random() < 0.8 else -5] if packed else body
        answer = inbound.post(
            sent, path=f"{PATH}/{slug}" if slug else PATH, content_type=kind, length=dice.random() < 0.7,
            headers={"Content-Encoding": "gzip"} if packed else {},
        )  # fmt: skip
        where = f"body {number} of seed {SEED}: {sent[:200]!r} as {kind!r} to {slug!r} -> {answer.json}"
        answers[answer.status] += 1
        assert answer.status in (200, 202, 413), where
        if answer.status == 413:
            assert len(body) > 1024 * 1024, where
            continue
        results = answer.json.get("results") or [answer.json]
        kept = {row.pk: row for row in Delivery.objects.filter(pk__in=[r["delivery_id"] for r in results])}
        assert len(kept) == len(results), where
        for row in kept.values():
            assert (row.alert_id is None) == (row.state == "quarantined" and not row.alert_id), where
            assert row.state != "quarantined" or row.reason, where
        if len(results) == 1:
            [row] = kept.values()
            assert bytes(row.body) in (body, sent), where
    assert answers[200] > NUMBER / 5
    assert answers[202] > NUMBER / 10
