"""Webhook bodies: taken apart into alerts with their own bytes, or quarantined with a reason; never refused."""

from __future__ import annotations

import base64
import gzip
import inspect
import json
import sys
import time
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.payloads import (
    MAX_ITEMS,
    MESSAGE_TYPE,
    BadGzip,
    Item,
    PayloadTooLarge,
    decompress_gzip,
    parse_body,
    parse_item,
    parse_lines,
    parse_message,
)

JSON = "application/json"


def one(body: bytes, content_type: str | None = JSON) -> tuple[dict[str, Any] | None, str | None]:
    """The only item of a body, whose bytes must be the body's."""
    (item,) = parse_body(body, content_type).items
    assert item.raw == body
    assert (item.payload is None) == bool(item.reason)
    return item.payload, item.reason


@pytest.mark.parametrize(
    "content_type", [JSON, "text/plain", None, "", "application/x-www-form-urlencoded", "a/b; charset=utf-7"]
)
def test_an_object_is_one_alert_whatever_it_is_called(content_type: str | None) -> None:
    body = b' \n{"title": "+ADw-b", "n": 1.50}\r\n'
    assert one(body, content_type) == ({"title": "+ADw-b", "n": 1.5}, None)


def test_bom_is_no_obstacle() -> None:
    assert one(b'\xef\xbb\xbf{"a":1}')[0] == {"a": 1}
    assert [
        item.payload for item in parse_body(b'\xef\xbb\xbf{"a":1}\n{"a":2}', "application/x-ndjson").items
    ] == [{"a": 1}, {"a": 2}]


def test_array_elements_keep_their_own_bytes() -> None:
    body = '[ {"a": 1.50, "é": "]},["} ,\n3, {"b":{"c":[1,2]}}, "x", {"d":NULL}]'.replace(
        "NULL", "null"
    ).encode()
    parsed = parse_body(body, JSON)
    assert parsed.format == "array"
    assert [(item.raw.decode(), item.payload) for item in parsed.items] == [
        ('{"a": 1.50, "é": "]},["}', {"a": 1.5, "é": "]},["}),
        ("3", None),
        ('{"b":{"c":[1,2]}}', {"b": {"c": [1, 2]}}),
        ('"x"', None),
        ('{"d":null}', {"d": None}),
    ]
    assert parsed.items[1].reason == "the element is not an object"
    assert one(b' [{"a":1}] ') == ({"a": 1}, None)


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/x-ndjson; charset=utf-8", JSON, "text/plain"]
)
def test_ndjson_by_name_and_by_look(content_type: str) -> None:
    parsed = parse_body(b'{"a":1}\r\n\n  {"a":2}\n{"a":\n[1]\n{"a":3}', content_type)
    assert parsed.format == "ndjson"
    assert [(item.raw, item.payload) for item in parsed.items] == [
        (b'{"a":1}', {"a": 1}), (b'{"a":2}', {"a": 2}), (b'{"a":', None), (b"[1]", None), (b'{"a":3}', {"a": 3}),
    ]  # fmt: skip
    assert all(item.reason for item in parsed.items if item.payload is None)


def test_a_pretty_printed_object_is_no_ndjson() -> None:
    assert one(json.dumps({"a": {"b": 1}, "c": []}, indent=2).encode())[0] == {"a": {"b": 1}, "c": []}


def test_alertmanager_is_fanned_out() -> None:
    body = b"""{"version":"4","groupKey":"{}:{a=\\"b\\"}","status":"firing","receiver":"r","externalURL":"http://am",
        "groupLabels":{}, "alerts":[ {"fingerprint":"1","labels":{}}, {"fingerprint":"2","receiver":"own"} ]}"""
    parsed = parse_body(body, JSON)
    assert parsed.format == "alertmanager"
    common = {"groupKey": '{}:{a="b"}', "receiver": "r", "externalURL": "http://am"}
    assert [item.payload for item in parsed.items] == [
        {**common, "fingerprint": "1", "labels": {}},
        {**common, "fingerprint": "2", "receiver": "own"},
    ]
    assert [item.raw for item in parsed.items] == [
        b'{"fingerprint":"1","labels":{}}', b'{"fingerprint":"2","receiver":"own"}',
    ]  # fmt: skip
    single = b'{"receiver":"r","status":"firing","alerts":[{"fingerprint":"1"}]}'
    assert one(single)[0] == {"receiver": "r", "fingerprint": "1"}


def test_a_wrapper_may_hold_more_keys_than_one_alert_may() -> None:
    alerts = [{f"k{n}": n for n in range(30)} for _ in range(500)]
    parsed = parse_body(json.dumps({"receiver": "r", "status": "firing", "alerts": alerts}).encode(), JSON)
    assert len(parsed.items) == 500
    assert all(item.payload for item in parsed.items)


@pytest.mark.parametrize(
    "wrapper",
    [
        b'{"date":"x","context":{"alerts":[{"a":"\\u00e9"},{"a":2}],"rule":1},"z":[]}',
        b'{"context.alerts":[{"a":"\\u00e9"},{"a":2}],"rule":{"alerts":1}}',
        b'{"alerts":[{"a":"\\u00e9"},{"a":2}]}',
        '{"ä":"ö","context":{"x":1,"alerts":[0]},"context":{"alerts": [{"a":"\\u00e9"} , {"a":2}]}}'.encode(),
    ],
)
def test_elastic_and_plain_wrappers(wrapper: bytes) -> None:
    parsed = parse_body(wrapper, JSON)
    assert [(item.raw, item.payload) for item in parsed.items] == [
        (b'{"a":"\\u00e9"}', {"a": "é"}),
        (b'{"a":2}', {"a": 2}),
    ]


TWO = b'{"a":"\\u00e9"}', b'{"a":2}'


@pytest.mark.parametrize(
    ("wrapper", "format"),
    [
        (b'{"took":1,"hits":{"total":2,"hits":[%b, %b]}}', "elastic"),
        (b'{"detail-type":"Security Hub Findings - Imported","detail":{"findings":[%b, %b]}}', "securityhub"),
        (b'{"Findings":[%b,%b],"NextToken":"x"}', "aws"),
        (b'{"@odata.context":"https://graph","value":[%b,%b]}', "graph"), (b'{"value":[%b,%b]}', "graph"),
        (b'{"meta":{},"errors":[],"resources":[%b,%b]}', "crowdstrike"),
        (b'{"pagination":{"totalItems":2},"data":[%b,%b]}', "sentinelone"),
        (b'{"findings":[%b,%b]}', "aws"), (b'{"listFindingsResults":[%b,%b],"x":1}', "google_scc"),
        (b'{"records":[%b,%b]}', "azure"),
    ],
)  # fmt: skip
def test_what_vendors_put_around_alerts(wrapper: bytes, format: str) -> None:
    parsed = parse_body(wrapper % TWO, JSON)
    assert parsed.format == format
    assert [item.raw for item in parsed.items] == list(TWO)
    assert [item.payload for item in parsed.items] == [{"a": "é"}, {"a": 2}]


def test_alerts_beside_other_things_are_told_by_their_keys() -> None:
    for key, format in (("kibana.alert.uuid", "elastic"), ("alert_title", "iris"), ("signal", "elastic")):
        parsed = parse_body(json.dumps({"url": "x", "alerts": [{key: 1}, {key: 2}]}).encode(), JSON)
        assert (parsed.format, [item.payload for item in parsed.items]) == (format, [{key: 1}, {key: 2}])


def test_alerts_that_an_action_puts_in_quotes() -> None:
    for body in (
        {"context": {"alerts": '{"a":1},{"a":2}'}},
        {"context.alerts": '{"a":1},{"a":2}', "date": "x"},
    ):
        parsed = parse_body(json.dumps(body).encode(), JSON)
        assert [(item.raw, item.payload) for item in parsed.items] == [
            (b'{"a":1}', {"a": 1}),
            (b'{"a":2}', {"a": 2}),
        ]


def sns(message: str, **more: str) -> bytes:
    return json.dumps(
        {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": message, **more}
    ).encode()


def pubsub(data: bytes) -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": "1"}
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def test_envelopes_are_opened() -> None:
    inner = b'{"detail-type":"GuardDuty Finding","detail":{"id":"1"}}'
    for body in (sns(inner.decode()), pubsub(inner)):
        assert parse_body(body, JSON).items == [Item(body, orjson.loads(inner))]
    many = sns('{"detail-type":"x","detail":{"findings":[{"a":1},{"a":2}]}}')
    assert [item.raw for item in parse_body(many, JSON).items] == [b'{"a":1}', b'{"a":2}']
    twice = sns(sns('{"a":1}').decode())
    assert one(twice)[0] == orjson.loads(orjson.loads(twice)["Message"]), "one envelope deep"
    for text in (
        sns("CPU is high"),
        b'{"message":{"data":"%%%"},"subscription":"s"}',
        b'{"message":{"data":1},"subscription":"s"}',
    ):
        assert one(text)[0] == orjson.loads(text)
    payload, reason = one(sns('{"a":'))
    assert payload is None
    assert reason is not None
    assert "not valid JSON" in reason


def test_a_subscription_that_waits_for_its_confirmation_says_so() -> None:
    body = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "a",
        "Message": "m",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/confirm",
    }
    payload, reason = one(json.dumps(body).encode())
    assert payload is None
    assert reason is not None
    assert "open https://sns.eu-west-1.amazonaws.com/confirm" in reason


@pytest.mark.parametrize(
    "body",
    [b'{"id":1,"alerts":[{"a":1}]}', b'{"alerts":[]}', b'{"alerts":[1]}', b'{"context":{"alerts":{}}}'],
)
def test_an_incident_that_lists_alerts_is_no_wrapper(body: bytes) -> None:
    assert one(body)[0] == orjson.loads(body)


def test_forms() -> None:
    alert = '{"title":"a & b=c","é":1}'
    body = f"x=1&payload={quote(alert)}".encode()
    assert one(body, "application/x-www-form-urlencoded")[0] == {"title": "a & b=c", "é": 1}
    assert one(f"payload={quote(alert)}".encode(), None)[0] == {"title": "a & b=c", "é": 1}
    assert one(b"title=hello+world&severity=high", "application/x-www-form-urlencoded")[0] == {
        "title": "hello world",
        "severity": "high",
    }
    many = parse_body(b"payload=" + quote('[{"a":1},{"a":2}]').encode(), "application/x-www-form-urlencoded")
    assert [item.payload for item in many.items] == [{"a": 1}, {"a": 2}]
    assert one(b"a=1&" * 1000, "application/x-www-form-urlencoded")[1]
    assert one(b"payload=nonsense", None)[0] == {"payload": "nonsense"}


CEF = (
    r"<134>Nov 24 03:54:00 fw1 CEF:0|Acme\|Co|Wall\\2|1.0|100|Port scan|8|src=198.51.100.4 dst=10.0.0.9 "
    r"msg=a scan of x\=1 and more suser=bob cs1Label=Rule cs1="
)


def test_cef() -> None:
    assert one(CEF.encode(), "text/plain")[0] == {
        "_format": "cef", "deviceVendor": "Acme|Co", "deviceProduct": "Wall\\2", "deviceVersion": "1.0",
        "signatureId": "100",
        "name": "Port scan", "severity": "8", "src": "198.51.100.4", "dst": "10.0.0.9", "msg": "a scan of x=1 and more",
        "suser": "bob", "cs1Label": "Rule", "cs1": "",
    }  # fmt: skip
    assert one(CEF.replace("CEF:0", "CEF: 0").encode())[0] == one(CEF.encode())[0], "as FortiGate writes it"
    assert one(b"CEF:0|a|b|c|d|e|5|name=other key=v\\\\w\\nx")[0] == {
        "_format": "cef", "deviceVendor": "a", "deviceProduct": "b", "deviceVersion": "c", "signatureId": "d",
        "name": "e", "severity": "5", "key": "v\\w\nx",
    }  # fmt: skip


def test_leef() -> None:
    assert one(b"LEEF:1.0|IBM|QRadar|7|Deny|src=1.1.1.1\tsev=9\tusrName=bob\tmsg=a = b", None)[0] == {
        "_format": "leef", "vendor": "IBM", "product": "QRadar", "version": "7", "signatureId": "Deny", "src": "1.1.1.1",
        "severity": "9", "username": "bob", "msg": "a = b", "name": "QRadar Deny",
    }  # fmt: skip
    for head in ("LEEF:2.0|a|b|c|d|^|", "LEEF:2.0|a|b|c|d|x5E|", "LEEF:2.0|a|b|c|d|0x5e|"):
        payload, _ = one(f"{head}k=v w^name=n".encode(), None)
        assert payload is not None
        assert (payload["k"], payload["name"]) == ("v w", "n")


def test_lines_are_alerts_each() -> None:
    body = f'{CEF}\n\nnot an event\nCEF:0|too|short\n{{"a":1}}\nCEF:0|a|b|c|d|\xff|5|\n'.encode("latin-1")
    parsed = parse_body(body, "text/plain")
    assert parsed.format == "lines"
    assert [item.reason for item in parsed.items] == [
        None, "the line is not a JSON object", "a CEF header has 7 fields, this one 3", None, "the line is not UTF-8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"), (b" \n\t", "the body is empty"), (b"[]", "the array is empty"),
        (b"[1,2]", "the array holds no objects"),
        (b'"text"', "the JSON is not an object"), (b"42", "the JSON is not an object"),
        (b"null", "the JSON is not an object"),
        (b"hello", "neither JSON nor CEF, LEEF or a form"), (b'{"a":1', "not valid JSON"), (b'{"a":1} x', "not valid JSON"),
        (b'{"a":NaN}', "NaN"), (b'{"a":-Infinity}', "NaN"), (b'[{"a":Infinity}]', "NaN"), (b'{"a":1e999}', "NaN"),
        (b'{"a":"\xff"}', "invalid UTF-8 at byte 6"), (b"\xff\xfe{\x00}\x00", "UTF-8"), (b"[\xc3]", "invalid UTF-8"),
        (b'{"a":"\\ud800"}', "lone surrogate"), (b'{"a":"\\udc00x"}', "lone surrogate"), (b'{"a":"\x00"}', "not valid JSON"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"), (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deeper than 32"),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "deeper than 32"), (b"[" * 100_000, "lists and objects"),
        (json.dumps({f"k{n}": n for n in range(10_001)}).encode(), "more than 10000 keys"),
        (b'{"a":' + b"1" * 41 + b"}", "more than 40 digits"), (b'{"a":[' + b"[]," * 30_000 + b"[]]}", "lists and objects"),
        (b"[" + b"{}," * 20_000 + b"{}]", "more"), (b"a=1", "neither JSON"),
    ],
)  # fmt: skip
def test_quarantined_with_a_reason(body: bytes, reason: str) -> None:
    payload, why = one(body)
    assert payload is None
    assert reason in (why or "")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 32 + b"1" + b"}" * 32, b'{"a":"' + b"[{" * 50_000 + b'"}', b'{"a":"' + b":" * 20_000 + b'"}',
        b'{"a":"' + b"1" * 99 + b'"}',
        b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\u0000"}', b'{"a":1,"a":2}',
        json.dumps({f"k{n}": n for n in range(10_000)}).encode(),
        b'{"a":1.000000000000000000000000000000001}', b"{}",
    ],
)  # fmt: skip
def test_accepted_at_the_limits(body: bytes) -> None:
    assert one(body)[0] == json.loads(body)


def test_integers_keep_all_their_digits() -> None:
    body = b'{"id":123456789012345678901234567890,"max":9223372036854775807,"min":-9223372036854775808,'
    body += b'"over":9223372036854775808}'
    payload, _ = one(body)
    assert payload == {
        "id": "123456789012345678901234567890", "max": 2**63 - 1, "min": -(2**63), "over": "9223372036854775808",
    }  # fmt: skip
    assert orjson.dumps(payload)


def test_limits_are_per_element() -> None:
    parsed = parse_body(b'[{"a":1},{"a":' + b"[" * 40 + b"]" * 40 + b'},{"a":' + b"1" * 50 + b"}]", JSON)
    assert [item.reason for item in parsed.items] == [
        None,
        "nested deeper than 32 levels",
        "a number of more than 40 digits",
    ]


def test_too_many_lines_are_one_quarantined_rest() -> None:
    items = parse_body(b"{}\n" * (MAX_ITEMS + 5), "application/x-ndjson").items
    assert len(items) == MAX_ITEMS + 1
    assert items[-1].payload is None
    assert items[-1].raw == b"{}\n" * 5
    assert len(list(parse_lines(b"\n" * 100))) == 1


def test_parse_item_reads_one_line_of_a_stream() -> None:
    assert parse_item(b'{"a":1}').payload == {"a": 1}
    assert parse_item(b"x").reason == "the line is not a JSON object"


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=200) | st.text('[]{}",:0123456789.eE-\\ \nutfanl|=CEF&payload', max_size=120).map(str.encode),
       st.sampled_from([JSON, None, "application/x-ndjson", "application/x-www-form-urlencoded"]))  # fmt: skip
def test_no_body_raises_and_nothing_is_lost(body: bytes, content_type: str | None) -> None:
    parsed = parse_body(body, content_type)
    assert parsed.items
    for item in parsed.items:
        assert (item.payload is None) == bool(item.reason)
        assert item.raw in body or parsed.format in ("array", "ndjson")
        if item.payload is not None:
            orjson.dumps(item.payload)


def deep_mail(depth: int) -> bytes:
    lines = [b"From: bad@evil.top\r\nSubject: Deep\r\n"]
    lines += [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)]
    return b"".join(lines) + b"\r\nhello\r\n"


def test_a_mail_nested_too_deeply_is_kept_with_the_reason() -> None:
    raw = deep_mail(1_200)
    reason = "the mail has more than 30 parts within each other"
    assert parse_message(raw) == Item(raw, None, reason)
    assert parse_body(raw, MESSAGE_TYPE).items == [Item(raw, None, reason)]
    assert parse_message(deep_mail(20)).payload is not None


def test_a_mail_that_the_reading_fails_for_is_kept_with_the_reason() -> None:
    """Read with hardly any stack left: whatever is raised, the bytes are not lost."""
    raw = b"From: bad@evil.top\r\nSubject: x\r\n\r\nhello\r\n"
    parse_message(raw)  # what it imports is there now
    depth = len(inspect.stack(0))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(depth + 6)
        item = parse_message(raw)
    finally:
        sys.setrecursionlimit(limit)
    assert item == Item(raw, None, "the mail cannot be read: RecursionError")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=5), min_size=2, max_size=5),
    st.booleans(),
)
def test_slices_are_what_was_sent(alerts: list[dict[str, Any]], ascii_only: bool) -> None:
    pieces = [json.dumps(alert, ensure_ascii=ascii_only).encode("utf-8", "replace") for alert in alerts]
    for body in (
        b"[" + b" , ".join(pieces) + b"]",
        b"\n".join(pieces),
        b'{"context":{"alerts":[' + b",".join(pieces) + b"]}}",
    ):
        items = parse_body(body, JSON).items
        assert [item.raw for item in items] == pieces
        assert [item.payload for item in items] == [orjson.loads(piece) for piece in pieces]


HOSTILE = {
    "open lists": b"[" * 1_000_000, "closed lists": b"[" * 500_000 + b"]" * 500_000, "open objects": b'{"a":' * 200_000,
    "empty lists": b'{"a":[' + b"[]," * 330_000 + b"[]]}",
    "many keys": ("{" + ",".join(f'"k{n}":1' for n in range(85_000)) + "}").encode(),
    "one key": b"{" + b'"k":1,' * 160_000 + b'"k":1}', "digits": b'{"a":' + b"1" * 1_000_000 + b"}",
    "digits in text": b'{"a":"' + (b"1" * 18 + b"a") * 52_000 + b'"}',
    "escaped quotes": b'{"a":1111111111111111111111,"b":"' + b'\\"' * 480_000,
    "quotes": b"{" + b'"' * 1_000_000, "empty strings": b'{"a":[' + b'"",' * 330_000 + b"11111111111111111111111]}",
    "blank lines": b"{}" + b"\n" * 1_000_000 + b"x", "blanks": b"{" + b" " * 1_000_000 + b"}",
    "numbers": b'{"a":[' + b"1," * 490_000 + b"1]}",
    "CEF escapes": b"CEF:0|" + b"\\" * 1_000_000, "CEF pairs": b"CEF:0|a|b|c|d|e|5|" + b" a=" * 330_000,
    "CEF starts": b"CEF:" * 250_000,
    "LEEF pairs": b"LEEF:2.0|a|b|c|d|^|" + b"a=1^" * 250_000, "form": b"payload=" + b"%41" * 330_000, "fields": b"a=1&" * 250_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_megabyte_is_cheap(name: str) -> None:
    """About 50 ms each on the machine of reference; the bound here only catches what is not linear."""
    start = time.process_time()
    parsed = parse_body(HOSTILE[name], None)
    assert time.process_time() - start < 1
    assert parsed.items


def test_gzip() -> None:
    body = b'{"a":1}' * 10
    assert decompress_gzip(gzip.compress(body, mtime=0), 1000) == body
    assert (
        decompress_gzip(gzip.compress(body, mtime=0) + gzip.compress(b"x", mtime=0) + b"\0\0", 1000)
        == body + b"x"
    )
    with pytest.raises(PayloadTooLarge):
        decompress_gzip(gzip.compress(b"a" * 1001, mtime=0), 1000)
    assert len(decompress_gzip(gzip.compress(b"a" * 1000, mtime=0), 1000)) == 1000
    with pytest.raises(PayloadTooLarge):
        decompress_gzip(gzip.compress(b"\0" * 50_000_000, mtime=0), 100_000_000, max_ratio=100)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"not gzip at all",
        gzip.compress(b"abc", mtime=0)[:-3],
        gzip.compress(b"abc", mtime=0) + b"junk",
        gzip.compress(b"", mtime=0)[:10],
    ],
)
def test_bad_gzip(raw: bytes) -> None:
    with pytest.raises(BadGzip):
        decompress_gzip(raw, 1000)
