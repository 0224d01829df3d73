"""How the rules of the sources have done: their alerts, and what people found these to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Count, Max, Q
from django.utils.translation import gettext as _

from alerts.models import Alert
from opensoar import clock
from opensoar.actors import Actor
from opensoar.ids import first_id_at

DAYS = 90
PER_RULE = 5_000  # the last of one rule's alerts that its record is made of
LOOKED_AT = 50_000  # alerts that the records of all rules are made of
ENOUGH, NOISY = 20, 0.9  # this many determined alerts, of which this share is benign: worth a suppression
WORDS = ("malicious", "suspicious", "benign")
ORDERS = {
    "alerts": attrgetter("alerts"),
    "benign": attrgetter("benign"),
    "malicious": attrgetter("malicious"),
}
_RECORDS = """
SELECT source, rule_name, count(*), count(*) FILTER (WHERE status = 'resolved'),
    count(*) FILTER (WHERE determination = 'malicious'), count(*) FILTER (WHERE determination = 'suspicious'),
    count(*) FILTER (WHERE determination = 'benign'), max(created_at)
FROM ({latest}) latest WHERE rule_name <> '' GROUP BY source, rule_name"""


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """How a rule of a source has done over the last :data:`DAYS` days, or in its last :data:`PER_RULE` alerts."""

    source: str
    rule_name: str
    alerts: int
    resolved: int
    malicious: int
    suspicious: int
    benign: int
    last_at: datetime | None

    @property
    def determined(self) -> int:
        """Of how many somebody said what they were."""
        return self.malicious + self.suspicious + self.benign

    @property
    def benign_share(self) -> float | None:
        """The false-positive rate, 0 to 1, of those that were determined; ``None`` where none was."""
        return self.benign / self.determined if self.determined else None

    @property
    def benign_percent(self) -> int | None:
        """:attr:`benign_share` in whole percent, rounded down: one that mattered keeps it from 100."""
        return int(100 * self.benign / self.determined) if self.determined else None

    @property
    def query(self) -> str:
        """What finds its alerts in the queue, whatever became of them."""
        return urlencode({"status": "", "source": self.source, "rule_name": self.rule_name})

    @property
    def is_noisy(self) -> bool:
        """Whether it is worth a suppression, as far as figures tell."""
        return self.determined >= ENOUGH and self.benign >= NOISY * self.determined

    @property
    def sentence(self) -> str:
        """In words."""
        if not self.determined:
            return _("nothing determined yet")
        share = {"percent": self.benign_percent, "n": self.determined}
        return _("%(percent)d %% benign of %(n)d determined") % share


def rule_record(actor: Actor, alert: Alert) -> RuleRecord | None:
    """The record of the rule that made ``alert``, of what ``actor`` may see, in one query; ``None`` without a rule."""
    if not alert.rule_name:
        return None
    same = Alert.objects.visible_to(actor).filter(source=alert.source, rule_name=alert.rule_name)
    last = same.filter(pk__gte=first_id_at(clock.now() - timedelta(days=DAYS))).order_by("-id")
    counts = last[:PER_RULE].aggregate(
        alerts=Count("pk"),
        resolved=Count("pk", filter=Q(status="resolved")),
        **{word: Count("pk", filter=Q(determination=word)) for word in WORDS},
        last_at=Max("created_at"),
    )
    return RuleRecord(alert.source, alert.rule_name, **counts)


def rules(actor: Actor, *, words: str = "", order: str = "alerts") -> list[RuleRecord]:
    """Every rule among the last :data:`LOOKED_AT` alerts that ``actor`` sees, at most :data:`DAYS` days back, in one query.

    ``words`` narrows to sources and rules that contain them; ``order`` is a key of :data:`ORDERS`, most first.
    """
    since = first_id_at(clock.now() - timedelta(days=DAYS))
    latest = Alert.objects.visible_to(actor).filter(pk__gte=since).order_by("-id")
    columns = latest.values("source", "rule_name", "status", "determination", "created_at")[:LOOKED_AT]
    sql, params = columns.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_RECORDS.format(latest=sql), params)
        found = [RuleRecord(*row) for row in cursor.fetchall()]
    sought = words.strip().casefold()
    found = [one for one in found if sought in one.source.casefold() or sought in one.rule_name.casefold()]
    by = ORDERS[order]
    return sorted(found, key=lambda one: (-by(one), -one.alerts, one.source, one.rule_name))
