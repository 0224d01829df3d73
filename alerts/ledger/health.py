"""Whether each source still speaks: learnt from the deliveries, once a minute, by one process at a time.

Nothing is counted in the group commit. A row of counters there would be written by every batch, and two web processes
would wait for each other's commits; reading the new deliveries once a minute costs ingest nothing (docs/ingest.md has
the figures).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import sources
from alerts.incoming import dedupe_key
from alerts.ingest import store
from alerts.intake import OWN_SOURCE, Envelope, read_body
from alerts.ledger import rhythm
from alerts.ledger.sweeps import taken
from alerts.models import Alert, SourceHealth, SourceHour
from alerts.senders import Sender, partner_of
from alerts.services import comment_alert, resolve_alert
from opensoar.actors import Actor
from opensoar.ids import first_id_at

KEEPER = Actor.system("source health")
ROWS = 50_000  # deliveries in one look
# An id is given up to 15 seconds before its row can be seen (a sender waits 10 for it, the database is waited for 5).
LAG = timedelta(seconds=30)
EVERY = timedelta(seconds=50)
AWAY = timedelta(minutes=5)  # without a look: then nobody knows who was silent
# A silence that is found later (in the ledger of an older version, or of the demo) is shown, and told to nobody.
NEWS = timedelta(hours=1)
KEPT_GAPS = 400
RECKONED_EVERY = timedelta(hours=6)
FORGOTTEN_AFTER = timedelta(days=90)
_FIRST = UUID(int=0)
_LEARNT = (
    "last_at", "observations", "gaps", "quiet_hours", "usual_gap", "usual_day", "silent_at", "silent_since", "unwatched",
    "reckoned_at",
)  # fmt: skip

_LOOK = """
WITH new AS MATERIALIZED (
  SELECT id, partner_id, source, state, received_at FROM alerts_delivery
  WHERE id > %(after)s AND id < %(until)s ORDER BY id LIMIT %(rows)s
), counted AS (
  INSERT INTO alerts_sourcehour (partner_id, source, hour, count, quarantined)
  SELECT partner_id, source, date_trunc('hour', received_at, 'UTC'), count(*),
    count(*) FILTER (WHERE state = 'quarantined')
  FROM new WHERE source <> %(own)s GROUP BY 1, 2, 3
  ON CONFLICT (partner_id, source, hour) DO UPDATE SET count = alerts_sourcehour.count + excluded.count,
    quarantined = alerts_sourcehour.quarantined + excluded.quarantined
), spaced AS (
  SELECT partner_id, source, received_at,
    lag(received_at) OVER (PARTITION BY partner_id, source ORDER BY received_at) AS before
  FROM new WHERE source <> %(own)s
), heard AS (
  SELECT partner_id, source, min(received_at) AS first_at, max(received_at) AS last_at, count(*) AS times,
    coalesce(json_agg(json_build_array(extract(epoch FROM before), extract(epoch FROM received_at)) ORDER BY received_at)
      FILTER (WHERE received_at - before > make_interval(secs => %(long)s)), '[]') AS gaps
  FROM spaced GROUP BY 1, 2
)
SELECT (SELECT count(*) FROM new), (SELECT id FROM new ORDER BY id DESC LIMIT 1),
  (SELECT coalesce(json_agg(heard), '[]') FROM heard)
"""


class Heard(NamedTuple):
    """What one look found of one source."""

    partner_id: UUID
    source: str
    first: float
    last: float
    times: int
    gaps: list[list[float]]


def sweep() -> bool:
    """Read what came since the last look, call silent who is; whether there may be more to read."""
    now = timezone.now()
    with transaction.atomic():
        state = taken("source health")
        if state is None:
            return False
        if state.position is not None and now - state.due_at > AWAY:
            _nobody_looked(now - state.due_at)
        count, state.position, heard = _look(state.position or _FIRST, now)
        _learn(heard, now)
        more = count == ROWS
        if not more:
            state.due_at = now + EVERY
            _call_silent(now)
            _tidy(now)
        state.save(update_fields=["position", "due_at"])
    return more


def _look(after: UUID, now: datetime) -> tuple[int, UUID, list[Heard]]:
    asked: dict[str, Any] = {
        "after": after,
        "until": first_id_at(now - LAG),
        "rows": ROWS,
        "own": OWN_SOURCE,
        "long": rhythm.LONG,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, asked)
        count, last, heard = cursor.fetchone()
    found = orjson.loads(heard) if isinstance(heard, str) else heard
    return count, last or after, [_heard(row) for row in found]


def _heard(row: dict[str, Any]) -> Heard:
    first, last = (datetime.fromisoformat(row[name]).timestamp() for name in ("first_at", "last_at"))
    return Heard(UUID(row["partner_id"]), row["source"], first, last, row["times"], row["gaps"])


def _learn(heard: Iterable[Heard], now: datetime) -> None:
    """Bring the sources that spoke up to date."""
    heard = list(heard)
    known = {
        (row.partner_id, row.source): row
        for row in SourceHealth.objects.filter(source__in={one.source for one in heard})
    }
    for one in heard:
        row = known.get((one.partner_id, one.source))
        if row is None:
            row = SourceHealth(partner_id=one.partner_id, source=one.source, first_at=_moment(one.first))
            row.last_at, row.observations, row.gaps = _moment(one.last), one.times - 1, one.gaps[-KEPT_GAPS:]
        else:
            _speaks_again(row, one)
        _reckon(row, now)
        if row._state.adding:
            row.save(force_insert=True)
        else:
            row.save(update_fields=_LEARNT)


def _speaks_again(row: SourceHealth, one: Heard) -> None:
    last, gaps = row.last_at.timestamp(), list(one.gaps)
    if row.silent_since is not None:
        _silence_is_over(row, _moment(one.first))
    if not row.unwatched and one.first - last > rhythm.LONG:
        # What was called a silence counts up to the moment when it was: a failure teaches little, a new rhythm enough.
        end = one.first if row.silent_since is None else min(one.first, row.silent_since.timestamp())
        gaps.insert(0, [last, end])
    row.gaps = [*row.gaps, *gaps][-KEPT_GAPS:]
    row.observations += one.times
    row.last_at, row.silent_since, row.unwatched = max(row.last_at, _moment(one.last)), None, False


def _reckon(row: SourceHealth, now: datetime) -> None:
    """From what was observed to what is usual, and to when it will be called silent."""
    if row._state.adding or now - row.reckoned_at > RECKONED_EVERY:
        first, this_moment = row.first_at.timestamp(), now.timestamp()
        hours = SourceHour.objects.filter(partner_id=row.partner_id, source=row.source)
        counts = {int(hour.timestamp()) // rhythm.HOUR: n for hour, n in hours.values_list("hour", "count")}
        row.quiet_hours = sorted(rhythm.quiet_hours(counts, first=first, now=this_moment))
        row.usual_day = rhythm.usual_day(counts, first=first, now=this_moment)
        row.reckoned_at = now
    learning = row.last_at - row.first_at < timedelta(seconds=rhythm.LEARN_FOR)
    if learning or row.observations < rhythm.MIN_OBSERVATIONS:
        row.usual_gap = row.silent_at = None
        return
    quiet = frozenset(row.quiet_hours)
    last = row.last_at.timestamp()
    since = max(row.first_at.timestamp(), last - rhythm.REMEMBERED)
    if len(row.gaps) == KEPT_GAPS:
        since = max(since, row.gaps[0][0])
    kept = [gap for gap in row.gaps if gap[1] > since]
    row.usual_gap = rhythm.usual_gap(kept, quiet, watched=rhythm.waited(since, last, quiet))
    row.silent_at = _moment(rhythm.silent_at(last, row.usual_gap, quiet))


def _nobody_looked(passed: timedelta) -> None:
    """No worker ran, and perhaps nothing could be received: every source gets as much time as nobody looked."""
    for row in SourceHealth.objects.filter(silent_since__isnull=True).select_for_update(no_key=True):
        row.unwatched = True
        row.silent_at = None if row.silent_at is None else row.silent_at + passed
        row.save(update_fields=["unwatched", "silent_at"])


def _call_silent(now: datetime) -> None:
    """One alert of ours for each silence."""
    for row in SourceHealth.objects.filter(silent_since__isnull=True, silent_at__lte=now - LAG):
        row.silent_since = now
        row.save(update_fields=["silent_since"])
        if row.silent_at is None or now - row.silent_at > NEWS:
            continue
        told = {
            "source": row.source,
            "last": f"{row.last_at:%Y-%m-%d %H:%M} UTC",
            "gap": rhythm.length_text(row.usual_gap or 0),
        }
        body = {
            "id": _silence_id(row),
            "title": _("%(source)s is silent: no alert since %(last)s") % told,
            "description": _(
                "Its usual gap is %(gap)s; three of them have passed. Check the product, its forwarding and its token."
            ) % told,
            "severity": "medium",
            "rule_name": "Source silent",
            "tags": ["source-health"],
            "timestamp": row.last_at.isoformat(),
        }  # fmt: skip
        partner_id, slug = partner_of(row.partner_id)
        sender = Sender(None, KEEPER.name, partner_id, slug, source=OWN_SOURCE)
        store(
            read_body(orjson.dumps(body), Envelope(sender, "application/json", slug=sources.GENERIC)),
            patience=0,
        )


def _silence_is_over(row: SourceHealth, at: datetime) -> None:
    """Its alert is resolved where nobody took it up, otherwise whoever did reads that it is over."""
    key = dedupe_key(row.partner_id, OWN_SOURCE, f"id:{_silence_id(row)}")
    alert = Alert.objects.filter(dedupe_key=key, archived_at__isnull=True).first()
    if alert is None or alert.status == Alert.Status.RESOLVED:
        return
    told = {"source": row.source, "silence": rhythm.length_text((at - row.last_at).total_seconds())}
    text = _("%(source)s speaks again, after %(silence)s.") % told
    if alert.status == Alert.Status.NEW and alert.assigned_to_id is None and alert.determination == "unknown":
        resolve_alert(actor=KEEPER, alert=alert, determination=Alert.Determination.BENIGN, reason=text)
    else:
        comment_alert(actor=KEEPER, alert=alert, text=text)


def _tidy(now: datetime) -> None:
    oldest = now - timedelta(weeks=rhythm.WEEKS + 1)
    SourceHour.objects.filter(hour__lt=oldest).delete()
    SourceHealth.objects.filter(last_at__lt=now - FORGOTTEN_AFTER).delete()


def _silence_id(row: SourceHealth) -> str:
    return f"silent:{row.source}:{int(row.last_at.timestamp())}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
