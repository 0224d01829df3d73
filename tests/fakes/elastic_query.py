"""The part of Elasticsearch's Query DSL, sorting and `search_after` that a poller uses, really evaluated.

Pages: query-dsl/query-dsl-bool-query, -range-query, -term-query, -terms-query, -exists-query, -ids-query,
-match-all-query; common-options (date math); sort-search-results; paginate-search-results. Other queries: 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.fakes.base import now, time_ns

Test = Callable[[str, dict[str, Any]], bool]
_MATH = re.compile(r"([+-])(\d+)([smhHdw])|/([smhHd])")
_UNIT = {"s": 1000, "m": 60_000, "h": 3_600_000, "H": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class BadQuery(ValueError):
    """A 400: the type of the exception, its reason, and whether it is found only on the shards."""

    def __init__(self, kind: str, reason: str, shard: bool = False) -> None:
        """Keep what the answer tells."""
        super().__init__(reason)
        self.kind, self.shard = kind, shard


def source_of(source: Any, path: str) -> Any:
    """The value of a field, whether its name is written dotted, nested or mixed."""
    if not isinstance(source, dict):
        return None
    if path in source:
        return source[path]
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:cut])
        if head in source:
            value = source_of(source[head], ".".join(parts[cut:]))
            if value is not None:
                return value
    return None


def millis(value: Any, field: str = "@timestamp", upper: bool = False) -> int:
    """Milliseconds of a `date` value: ISO, epoch milliseconds or date math; finer digits are cut, as `date` does."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    text = str(value)
    if re.fullmatch(r"-?\d{5,}", text):
        return int(text)
    anchor, math = (
        ("now", text[3:]) if text.startswith("now") else (text.partition("||")[0], text.partition("||")[2])
    )
    try:
        base = int(now().timestamp() * 1000) if anchor == "now" else time_ns(anchor) // 1_000_000
    except ValueError as error:
        reason = f"failed to parse date field [{text}] with format [strict_date_optional_time||epoch_millis]"
        raise BadQuery("parse_exception", f"{reason}: [{field}]", shard=True) from error
    position = 0
    for step in _MATH.finditer(math):
        if step.start() != position:
            break
        position = step.end()
        if step[4]:
            base -= base % _UNIT[step[4]]
            base += _UNIT[step[4]] - 1 if upper else 0
        else:
            base += int(step[2]) * _UNIT[step[3]] * (1 if step[1] == "+" else -1)
    if position != len(math):
        raise BadQuery("parse_exception", f"operator not supported for date math [{math}]", shard=True)
    return base


def is_date(field: str, value: Any) -> bool:
    """Whether a field is mapped as `date`: by its name, or because its value is a time (dynamic date detection)."""
    if field == "@timestamp" or field.endswith(
        ("timestamp", "_time", ".created", ".ingested", ".start", ".end")
    ):
        return True
    return isinstance(value, str) and bool(re.match(r"\d{4}-\d\d-\d\dT\d\d:", value))


class Query:
    """A parsed query."""

    def __init__(self, body: Any) -> None:
        """Parse the query or raise BadQuery."""
        self.test = _parse(body)


def _parse(body: Any) -> Test:
    if not isinstance(body, dict) or len(body) != 1:
        raise BadQuery(
            "parsing_exception", "[_na] query malformed, empty clause found or more than one query name"
        )
    name, clause = next(iter(body.items()))
    parser = {
        "bool": _bool,
        "range": _range,
        "term": _term,
        "terms": _terms,
        "exists": _exists,
        "ids": _ids,
        "match_all": lambda clause: lambda name, source: True,
    }.get(name)
    if parser is None:
        raise BadQuery("parsing_exception", f"unknown query [{name}]")
    if not isinstance(clause, dict):
        raise BadQuery("parsing_exception", f"[{name}] query malformed, no start_object after query name")
    return parser(clause)


def _bool(clause: dict[str, Any]) -> Test:
    """must, filter, should, must_not, minimum_should_match (query-dsl-bool-query)."""
    lists: dict[str, list[Test]] = {"must": [], "filter": [], "should": [], "must_not": []}
    for name, value in clause.items():
        if name in lists:
            lists[name] = [_parse(part) for part in (value if isinstance(value, list) else [value])]
        elif name not in ("minimum_should_match", "boost", "_name"):
            raise BadQuery("parsing_exception", f"[bool] query does not support [{name}]")
    every = lists["must"] + lists["filter"]
    least = int(clause.get("minimum_should_match", 0 if every else min(1, len(lists["should"]))))

    def test(name: str, source: dict[str, Any]) -> bool:
        return (
            all(part(name, source) for part in every)
            and not any(part(name, source) for part in lists["must_not"])
            and sum(part(name, source) for part in lists["should"]) >= least
        )

    return test


def _field(kind: str, clause: dict[str, Any]) -> tuple[str, Any]:
    """The one field of a clause and what is asked of it."""
    names = [name for name in clause if name not in ("boost", "_name")]
    if len(names) != 1:
        raise BadQuery("parsing_exception", f"[{kind}] query doesn't support multiple fields, found {names}")
    return names[0], clause[names[0]]


def _range(clause: dict[str, Any]) -> Test:
    """gt, gte, lt, lte with dates (date math, rounding) or numbers (query-dsl-range-query)."""
    field, bounds = _field("range", clause)
    if not isinstance(bounds, dict):
        raise BadQuery("parsing_exception", "[range] query malformed, no start_object after field name")
    for name in bounds:
        if name not in ("gt", "gte", "lt", "lte", "format", "boost", "relation"):
            raise BadQuery("parsing_exception", f"[range] query does not support [{name}]")
    if bounds.get("format", "strict_date_optional_time") not in (
        "strict_date_optional_time", "strict_date_optional_time||epoch_millis", "epoch_millis", "strict_date_optional_time_nanos",
    ):  # fmt: skip
        raise BadQuery(
            "illegal_argument_exception", f"Invalid format: [{bounds['format']}] (not known to the fake)"
        )
    dated = is_date(field, None) or any(is_date(field, bounds.get(key)) for key in ("gt", "gte", "lt", "lte"))
    limits: list[tuple[str, Any]] = [
        (key, millis(bounds[key], field, key in ("gt", "lte")) if dated else bounds[key])
        for key in ("gt", "gte", "lt", "lte")
        if bounds.get(key) is not None
    ]

    def test(name: str, source: dict[str, Any]) -> bool:
        value = source_of(source, field)
        if value is None:
            return False
        number = millis(value, field) if dated else value
        checks = {"gt": number.__gt__, "gte": number.__ge__, "lt": number.__lt__, "lte": number.__le__}
        return all(checks[key](limit) is True for key, limit in limits)

    return test


def _same(value: Any, wanted: Any) -> bool:
    return any(
        str(one) == str(wanted) for one in (value if isinstance(value, list) else [value]) if one is not None
    )


def _term(clause: dict[str, Any]) -> Test:
    """One exact value (query-dsl-term-query)."""
    field, wanted = _field("term", clause)
    wanted = wanted.get("value") if isinstance(wanted, dict) else wanted
    return lambda name, source: _same(name if field == "_id" else source_of(source, field), wanted)


def _terms(clause: dict[str, Any]) -> Test:
    """One of several exact values (query-dsl-terms-query)."""
    field, wanted = _field("terms", clause)
    if not isinstance(wanted, list):
        raise BadQuery("parsing_exception", "[terms] query requires an array of terms")
    return lambda name, source: any(
        _same(name if field == "_id" else source_of(source, field), one) for one in wanted
    )


def _exists(clause: dict[str, Any]) -> Test:
    """A field with a value (query-dsl-exists-query)."""
    if not clause.get("field"):
        raise BadQuery("parsing_exception", "[exists] must be provided with a [field]")
    return lambda name, source: source_of(source, str(clause["field"])) not in (None, [], [None])


def _ids(clause: dict[str, Any]) -> Test:
    """Documents by `_id` (query-dsl-ids-query)."""
    return lambda name, source: name in clause.get("values", [])


@dataclass
class SortKey:
    """One sort criterion."""

    field: str
    descending: bool
    format: str = ""
    missing_first: bool = False


def parse_sort(body: Any, fields: set[str], pit: bool, id_allowed: bool) -> list[SortKey]:
    """The criteria of `sort`; with a point in time an implicit `_shard_doc` follows (paginate-search-results)."""
    keys: list[SortKey] = []
    for part in body if isinstance(body, list) else [body] if body else []:
        name, wish = (part, {}) if isinstance(part, str) else next(iter(part.items()))
        wish = {"order": wish} if isinstance(wish, str) else wish
        order = str(wish.get("order", "desc" if name == "_score" else "asc"))
        if order not in ("asc", "desc"):
            raise BadQuery("illegal_argument_exception", f"No enum constant SortOrder.{order.upper()}")
        for option in wish:
            if option not in ("order", "format", "missing", "unmapped_type", "numeric_type", "mode"):
                raise BadQuery("x_content_parse_exception", f"[field_sort] unknown field [{option}]")
        if name == "_shard_doc" and not pit:
            raise BadQuery(
                "illegal_argument_exception", "[_shard_doc] sort field cannot be used without [point in time]"
            )
        if name == "_id" and not id_allowed:
            text = "Fielddata access on the _id field is disallowed, you can re-enable it by updating the dynamic cluster "
            raise BadQuery(
                "illegal_argument_exception", text + "setting: indices.id_field_data.enabled", shard=True
            )
        if (
            name not in fields
            and name not in ("_shard_doc", "_doc", "_id", "_score")
            and "unmapped_type" not in wish
        ):
            raise BadQuery(
                "query_shard_exception", f"No mapping found for [{name}] in order to sort on", shard=True
            )
        keys.append(
            SortKey(name, order == "desc", str(wish.get("format", "")), wish.get("missing") == "_first")
        )
    if pit and not any(key.field == "_shard_doc" for key in keys):
        keys.append(SortKey("_shard_doc", False))
    return keys


def _value(key: SortKey, row: Any) -> Any:
    """The sort value of a row, in the form in which it is compared."""
    if key.field in ("_shard_doc", "_doc"):
        return row.number
    if key.field == "_score":
        return 1.0
    value = row.id if key.field == "_id" else source_of(row.source, key.field)
    value = value[0] if isinstance(value, list) and value else value
    return millis(value, key.field) if value is not None and is_date(key.field, value) else value


def _rank(key: SortKey, value: Any) -> tuple[bool, Any]:
    """What makes values of one criterion comparable; a missing value is last unless `_first` is asked."""
    if value is None:
        return ((not key.missing_first) != key.descending, 0)
    return (key.missing_first != key.descending, value)


def sort_rows(rows: list[Any], keys: list[SortKey]) -> list[tuple[Any, list[Any]]]:
    """The rows in order, each with the sort values of its hit."""
    found = [(row, [_value(key, row) for key in keys]) for row in rows]
    try:
        for place in reversed(range(len(keys))):
            key = keys[place]
            found.sort(key=lambda pair: _rank(key, pair[1][place]), reverse=key.descending)
    except TypeError as error:
        raise BadQuery(
            "illegal_argument_exception", "values of mixed types cannot be sorted", shard=True
        ) from error
    return [
        (row, [_shown(key, value) for key, value in zip(keys, values, strict=True)]) for row, values in found
    ]


def _shown(key: SortKey, value: Any) -> Any:
    if not key.format or value is None:
        return value
    return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def after(found: list[tuple[Any, list[Any]]], keys: list[SortKey], marks: Any) -> list[tuple[Any, list[Any]]]:
    """The hits that follow the sort values of `search_after`."""
    if not keys:
        raise BadQuery("illegal_argument_exception", "Sort must contain at least one field.")
    if not isinstance(marks, list) or len(marks) not in (
        len(keys),
        len(keys) - (keys[-1].field == "_shard_doc"),
    ):
        count = len(marks) if isinstance(marks, list) else 0
        raise BadQuery(
            "illegal_argument_exception", f"search_after has {count} value(s) but sort has {len(keys)}."
        )
    limits = [
        millis(mark, key.field) if mark is not None and is_date(key.field, None) else mark
        for key, mark in zip(keys, marks, strict=False)
    ]

    def follows(row: Any) -> bool:
        for key, limit in zip(keys, limits, strict=False):
            mine, other = _rank(key, _value(key, row)), _rank(key, limit)
            if mine != other:
                return (mine < other) if key.descending else (mine > other)
        return False

    try:
        return [pair for pair in found if follows(pair[0])]
    except TypeError as error:
        raise BadQuery(
            "illegal_argument_exception", "Failed to parse search_after value", shard=True
        ) from error
