"""Own and harmless networks and domains: what the admin calls."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import exclusions
from alerts.iocs.hosts import (
    DOMAIN,
    MAX_HOST,
    PRIVATE_SUFFIXES,
    is_shared_suffix,
    to_ascii_host,
    under_public_suffix,
)
from alerts.models import ObservableExclusion
from opensoar import clock
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid
from opensoar.text import choice, required_text

_WIDEST = {4: 8, 6: 16}  # shortest prefixes: a slip of the pen must not hide the Internet


@transaction.atomic
def save_exclusion(
    *, actor: Actor, kind: str, value: str, reason: str, exclusion: ObservableExclusion | None = None
) -> ObservableExclusion:
    """Call a network or domain ours (``own``) or harmless (``allowed``), or change that.

    Counts for observables that are seen for the first time from then on; those that are known stay as they are.

    Raises:
        Invalid: neither network nor domain, or one that belongs to too many; no reason.
        Conflict: it is listed already.
    """
    row = exclusion or ObservableExclusion()
    is_new = row._state.adding
    row.kind = choice(kind, ObservableExclusion.Kind.values, field="kind")
    row.value = _network_or_domain(str(value).strip())
    row.reason = required_text(reason, field="reason", limit=500)
    if ObservableExclusion.objects.filter(value=row.value).exclude(pk=row.pk).exists():
        raise Conflict(_("“%s” is listed already") % row.value)
    row.updated_at = clock.now()
    row.save(force_insert=is_new, update_fields=None if is_new else ("kind", "value", "reason", "updated_at"))
    _audit(actor, "exclusion_created" if is_new else "exclusion_changed", row)
    return row


@transaction.atomic
def allow_domains(*, actor: Actor, names: Iterable[str], reason: str) -> tuple[int, list[str]]:
    """Call many domains harmless at once, such as the most visited ones; how many were new, and what is no domain.

    What is listed already stays as it is. Names below which anybody may have a site (``blogspot.com``) are refused as by
    :func:`save_exclusion`.
    """
    reason, refused = required_text(reason, field="reason", limit=500), list[str]()
    values = dict[str, None]()
    for name in names:
        try:
            values[_network_or_domain(name.strip())] = None
        except Invalid:
            refused.append(name)
    known = set(ObservableExclusion.objects.filter(value__in=values).values_list("value", flat=True))
    rows = [
        ObservableExclusion(kind=exclusions.ALLOWED, value=value, reason=reason)
        for value in values
        if value not in known
    ]
    ObservableExclusion.objects.bulk_create(rows)
    detail = {"reason": reason, "domains": len(rows)}
    audit(actor=actor, action="domains_allowed", object_kind="exclusion", object_id="", detail=detail)
    transaction.on_commit(exclusions.forget)
    return len(rows), refused


@transaction.atomic
def delete_exclusion(*, actor: Actor, exclusion: ObservableExclusion) -> None:
    """Treat new observables like others again."""
    _audit(actor, "exclusion_deleted", exclusion)
    exclusion.delete()


def _network_or_domain(text: str) -> str:
    address = text.partition("/")[0]
    if ":" in text or address.replace(".", "").isdigit():
        return _network(text)
    try:
        name = to_ascii_host(text.removeprefix("*.").removeprefix("."))
    except ValueError:
        name = ""
    if len(name) > MAX_HOST or DOMAIN.fullmatch(name) is None:
        raise Invalid(
            _("Name a network such as 203.0.113.0/24, or a domain such as example.com"), field="value"
        )
    private = name.rpartition(".")[2] in PRIVATE_SUFFIXES
    if not private and (not under_public_suffix(name) or is_shared_suffix(name)):
        raise Invalid(_("Names below “%s” belong to many people; name theirs") % name, field="value")
    return name


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(
            _("“%s” is not a network; one is written 203.0.113.0/24") % text[:60], field="value"
        ) from None
    if network.prefixlen < _WIDEST[network.version]:
        raise Invalid(_("“%s” is too wide; name smaller networks") % network, field="value")
    if str(network.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        raise Invalid(_("The network of “%(text)s” is written %(network)s") % {"text": text, "network": network},
                      field="value")  # fmt: skip
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _audit(actor: Actor, action: str, row: ObservableExclusion) -> None:
    detail = {"kind": row.kind, "value": row.value, "reason": row.reason}
    audit(actor=actor, action=action, object_kind="exclusion", object_id=row.pk, detail=detail)
    transaction.on_commit(exclusions.forget)
