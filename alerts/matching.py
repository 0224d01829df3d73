"""A condition as SQL: what may meet it. The exact answer is the predicate of ``opensoar/conditions.py``.

Only terms whose SQL means the same, or more, are used; the others narrow nothing here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from django.db.models import Q

from alerts.models import SEVERITY_RANK
from opensoar.conditions import Condition, Term

_COLUMNS = frozenset({"source_id", "title", "description", "hostname", "username", "rule_name"})
_SAME_IN_SQL = frozenset({"contains", "startswith", "endswith"})
_EQUAL = frozenset({"exact", "in"})
_EVERYTHING = Q()


def prefilter(condition: Condition) -> Q:
    """A filter of alerts that leaves out none which ``condition`` matches."""
    found = _EVERYTHING
    for term in condition.terms:
        if not term.negated and not term.path:
            found &= _of(term)
    return found


def _of(term: Term) -> Q:
    texts = [value for value in term.values if isinstance(value, str)]
    if term.field in _COLUMNS and term.lookup == "isnull":
        empty = Q(**{f"{term.field}__isnull": True}) | Q(**{term.field: ""})
        return empty if term.values[0] else ~empty
    if len(texts) < len(term.values) or not texts:  # numbers compare as text, none with what is empty
        return _EVERYTHING
    if term.field in _COLUMNS:
        return _text(term, texts)
    if term.field == "severity":
        return _severity(term, texts)
    if term.field == "source" and term.lookup in _EQUAL:
        return _source(texts)
    if term.field in ("source_ip", "dest_ip"):
        return _address(term, texts)
    if term.field == "tags" and term.lookup in (*_EQUAL, "overlap"):
        return Q(tags__overlap=texts)
    return _EVERYTHING


def _text(term: Term, texts: list[str]) -> Q:
    if term.lookup in _EQUAL:
        return Q(**{f"{term.field}__in": texts})
    if term.lookup in _SAME_IN_SQL:
        return _any(Q(**{f"{term.field}__{term.lookup}": text}) for text in texts)
    return _EVERYTHING


def _severity(term: Term, words: list[str]) -> Q:
    ranks = [SEVERITY_RANK[word] for word in words if word in SEVERITY_RANK]
    if term.lookup in _EQUAL:
        return Q(severity_rank__in=ranks)
    return (
        Q(**{f"severity_rank__{term.lookup}": ranks[0]}) if term.lookup in ("gte", "gt", "lte", "lt") else Q()
    )


def _source(words: list[str]) -> Q:
    """Without regard to case, which PostgreSQL and Python agree on in ASCII alone."""
    if not all(word.isascii() for word in words):
        return _EVERYTHING
    named = _any(Q(source__iregex=rf"^\s*{re.escape(word.strip())}\s*$") for word in words)
    return named | Q(source__regex=r"[^\x01-\x7f]")


def _address(term: Term, texts: list[str]) -> Q:
    if term.lookup not in (*_EQUAL, "cidr"):
        return _EVERYTHING
    try:
        networks = [ipaddress.ip_network(text.strip(), strict=False) for text in texts]
    except ValueError:
        return _EVERYTHING
    return _any(_within(term.field, network) for network in networks)


def _within(field: str, network: Any) -> Q:
    """From its first address to its last; those of IPv4 also as IPv6 writes them."""
    bounds = (str(network[0]), str(network[-1]))
    inside = Q(**{f"{field}__range": bounds})
    if network.version == 4:
        inside |= Q(**{f"{field}__range": tuple(f"::ffff:{address}" for address in bounds)})
    elif network[0].ipv4_mapped is not None or network.prefixlen < 96:
        return _EVERYTHING
    return inside


def _any(some: Iterable[Q]) -> Q:
    found: Q | None = None
    for one in some:
        found = one if found is None else found | one
    return _EVERYTHING if found is None else found
