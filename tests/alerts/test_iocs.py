"""Observables: what is found, what is not, canonical forms, defanging, and the time it takes."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import iocs
from alerts.iocs.text import MAX_CANDIDATES, Scan
from tests.alerts.observables.hostile import UNITS

MD5 = "44d88612fea8a8f36de82e1278abb02f"
SHA1 = "3395856ce81f2b7382dee72602f798b642f14140"
SHA256 = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
SHA512 = SHA256[::-1] + SHA256


def found(text: str) -> set[tuple[str, str]]:
    return {(o.type, o.value) for o in iocs.extract({"message": text}).observables}


def values(payload: dict) -> set[tuple[str, str]]:
    return {(o.type, o.value) for o in iocs.extract(payload).observables}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beacon to 9.9.9.9", {("ip", "9.9.9.9")}),
        ("from 10.1.2.3:4444 to 8.8.8.8.", {("ip", "10.1.2.3"), ("ip", "8.8.8.8")}),
        ("range 192.0.2.1-192.0.2.9", {("ip", "192.0.2.1"), ("ip", "192.0.2.9")}),
        ("host 10.1.2.3/8, net 10.0.0.0/8", {("ip", "10.1.2.3"), ("ip", "10.0.0.0/8")}),
        ("2001:DB8::/32 and 2001:db8::7/64, ::/0 and 0.0.0.0/0", {("ip", "2001:db8::/32"), ("ip", "2001:db8::7")}),
        ("203.0.113.4/32 on tcp/203.0.113.3:22, okhttp/4.12.0.0", {("ip", "203.0.113.4"), ("ip", "203.0.113.3")}),
        ("joe (at) evil (dot) com; hosted at bad dot org", {("email", "joe@evil.com"), ("domain", "bad.org")}),
        ("198\\.51\\.100\\.8 http[s]://evil[.com/a[?]b=1", {("ip", "198.51.100.8"), ("domain", "evil.com"),
                                                           ("url", "https://evil.com/a?b=1")}),
        ('"u":"https:\\/\\/a.com\\/x"', {("url", "https://a.com/x"), ("domain", "a.com")}),
        ("见http://evil.com/a下载，198.51.100.5。", {("url", "http://evil.com/a"), ("domain", "evil.com"),
                                             ("ip", "198.51.100.5")}),
        ("<a href='http://a.com/?x=1&amp;y=2'>&lt;http://b.com&gt;", {("url", "http://a.com/?x=1&y=2"), ("domain", "a.com"),
                                                                 ("url", "http://b.com/"), ("domain", "b.com")}),
        ("CVE‑2020‑1472 cve,2021-44228", {("cve", "CVE-2020-1472"), ("cve", "CVE-2021-44228")}),
        ("from joe.o'brien@example.com, u'ann@example.com'", {("email", "joe.o'brien@example.com"),
                                                               ("email", "ann@example.com")}),
        ("[2001:DB8::5]:443 and fe80::1%eth0", {("ip", "2001:db8::5"), ("ip", "fe80::1")}),
        ("2001:DB8:0:0:0:0:0:1", {("ip", "2001:db8::1")}),
        ("::ffff:1.2.3.4", {("ip", "1.2.3.4")}),
        ("ssh root@10.0.0.5", {("ip", "10.0.0.5")}),
        ("resolved evil.example.co.uk.", {("domain", "evil.example.co.uk")}),
        ("EVIL.COM was seen, evil.ru, too", {("domain", "evil.com"), ("domain", "evil.ru")}),
        ("“bad.com” (worse.net)", {("domain", "bad.com"), ("domain", "worse.net")}),
        ("bücher.de", {("domain", "xn--bcher-kva.de")}),
        ("访问evil.com下载", {("domain", "evil.com")}),
        ("bad[dot]com", {("domain", "bad.com")}),
        ("1.2.3[.]4 and evil[.]com", {("ip", "1.2.3.4"), ("domain", "evil.com")}),
        ("evil(.)com evil2{.}com evil3 [.] com", {("domain", f"evil{n}.com") for n in ("", "2", "3")}),
        ("hxxp://evil[.]com", {("url", "http://evil.com/"), ("domain", "evil.com")}),
        ("hXXps[:]//evil[.]com/a", {("url", "https://evil.com/a"), ("domain", "evil.com")}),
        ("(see http://b.org/x_(y)).", {("url", "http://b.org/x_(y)"), ("domain", "b.org")}),
        ("https://1.2.3.4:8443/x", {("url", "https://1.2.3.4:8443/x"), ("ip", "1.2.3.4")}),
        ("ldap://192.0.2.7:1389/a", {("url", "ldap://192.0.2.7:1389/a"), ("ip", "192.0.2.7")}),
        ("http://a.com/x,http://b.com/y", {("url", "http://a.com/x"), ("domain", "a.com"),
                                           ("url", "http://b.com/y"), ("domain", "b.com")}),
        ('{"url":"http://j.com/q?a=1"}', {("url", "http://j.com/q?a=1"), ("domain", "j.com")}),
        ("Joe.Doe@Example.COM", {("email", "joe.doe@example.com")}),
        ("joe[at]evil[.]com", {("email", "joe@evil.com")}),
        ("user [at] evil [dot] com", {("email", "user@evil.com")}),
        ("bob@corp.local", {("email", "bob@corp.local")}),
        (f"MD5={MD5.upper()},SHA256={SHA256}", {("md5", MD5), ("sha256", SHA256)}),
        (f"{SHA1} {SHA512}", {("sha1", SHA1), ("sha512", SHA512)}),
        ("exploits cve-2021-44228.", {("cve", "CVE-2021-44228")}),
        ("announced by AS13335", {("asn", "AS13335")}),
        ("00-50-56-AB-CD-EF", {("mac", "00:50:56:ab:cd:ef")}),
        ("00:50:56:ab:cd:ef", {("mac", "00:50:56:ab:cd:ef")}),
        ("0050.56ab.cdef", {("mac", "00:50:56:ab:cd:ef")}),
        ("pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", {("crypto_address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")}),
        ("phish.web.app and onet.pl", {("domain", "phish.web.app"), ("domain", "onet.pl")}),
    ],
)  # fmt: skip
def test_found_in_any_text(text: str, expected: set[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It is v1.2 build", "version 1.2.3.4", "Version: 1.2.3.4", "v1.2.3.4", "Chrome/120.0.0.0 Safari/537.36",
        "app 1.2.3.4.5", "1.2.3.4-beta", "010.1.1.1", "1.2.3.²", "256.1.1.1", "0.0.0.0", "0.0.0.0/0",
        "update.exe and a.dll", "readme.md", "script.py", "run.sh", "evil.zip", "libfoo.so", "main.rs", "Safari.app",
        "user.name", "rule.id", "kibana.alert.rule.name", "com.example.app", "org.apache.commons.io", "System.Net.Http",
        "failed.In the end", "window.open(x)", "ASP.NET", "C:\\evil.com\\x", "${host.name}",
        "12:30:45", "std::vector", "abc::def", "aa:bb:cc:dd:ee:ff:00:11:22:33", "icon@2x.png", "git@github.com:a/b",
        "e.g. this, i.e. that", "T1059.001", "AS400",
        "the dot com bubble", "as 2014", "window.location.host", "Node.js", "github.io",
        "0" * 32, "1" * 64, "f" * 40, "IMPHASH=" + MD5,
        "11111111111111111111111111111111", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "http://", "a@b", "...", "@", "::",
    ],
)  # fmt: skip
def test_not_taken_for_an_observable(text: str) -> None:
    assert found(text) == set()


def test_lists_under_any_name_are_read() -> None:
    payload = {
        "ips": ["8.8.8.8"],
        "hashes": [MD5],
        "src_ip": "2001:db8::1",
        "message": "beacon to 9.9.9.9 hxxp://evil[.]com",
    }
    assert values(payload) == {
        ("ip", "8.8.8.8"), ("md5", MD5), ("ip", "2001:db8::1"), ("ip", "9.9.9.9"),
        ("url", "http://evil.com/"), ("domain", "evil.com"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"hash_algorithm": "none", "host_note": "It is v1.2 build", "hash": "none"}, set()),
        ({"hostname": "WS-1", "user": "CORP\\Bob"}, {("hostname", "ws-1"), ("username", "corp\\bob")}),
        ({"host.name": "a.example.com", "m": "on a.example.com"}, {("hostname", "a.example.com")}),
        ({"host": "10.0.0.1", "user": {"name": "joe@x.com"}}, {("ip", "10.0.0.1"), ("email", "joe@x.com")}),
        ({"instance": "web1:9100"}, {("hostname", "web1")}),
        ({"user": "-", "host": "unknown", "account": "123456789012"}, set()),
        ({"src_ip": 16909060, "as": {"number": 13335}}, {("ip", "1.2.3.4"), ("asn", "AS13335")}),
        ({"file": {"name": "a.exe", "path": "/tmp/a.exe"}}, {("filename", "a.exe"), ("path", "/tmp/a.exe")}),
        ({"TargetObject": "HKEY_LOCAL_MACHINE\\Software\\X Y"}, {("registry_key", "HKLM\\Software\\X Y")}),
        ({"user_agent": {"original": "x (http://a.com)"}}, {("user_agent", "x (http://a.com)")}),
        ({"version": "10.0.0.1", "agent": {"version": "8.1.2.3"}}, set()),
        ({"id": MD5, "trace_id": MD5, "event": {"uuid": SHA256}}, set()),
        ({"permalink": "https://console.example.com/1", "references": ["https://attack.mitre.org/x"]}, set()),
        ({"event": {"dataset": "endpoint.events.network"}}, set()),
        ({"kibana.alert.rule.parameters": {"query": "evil.com", "references": ["http://x.com"]}}, set()),
        ({"iocs": [{"type": "ip-dst", "value": "1.1.1.1"}, {"dataType": "fqdn", "data": "H.example.com"}]},
         {("ip", "1.1.1.1"), ("hostname", "h.example.com")}),
        ({"iocs": [{"type": "nonsense", "value": "see 1.1.1.1"}]}, {("ip", "1.1.1.1")}),
        ({"domain": "evil.zip", "dns": {"question": {"name": "Evil.sh."}}}, {("domain", "evil.zip"), ("domain", "evil.sh")}),
        ({"q": '{"references": ["http://x.com"], "user": "Bob", "more": "{\\"hostname\\": \\"pc\\"}"}'}, {("username", "bob")}),
        ({"t": "[12:00] 1.1.1.1 []", "kibana.alert.rule.parameters": '{"query": "evil.com"}'}, {("ip", "1.1.1.1")}),
        ({"entities": '[{"address":"1.1.1.1"},{"hash":"' + MD5 + '"}]'}, {("ip", "1.1.1.1"), ("md5", MD5)}),
    ],
)  # fmt: skip
def test_field_names_are_hints(payload: dict, expected: set[tuple[str, str]]) -> None:
    assert values(payload) == expected


def test_field_is_the_path_and_private_values_are_internal() -> None:
    result = iocs.extract({"a": {"b": [{"c": "10.0.0.1"}]}, "d": "8.8.8.8", "hostname": "pc"}).observables
    assert {(o.value, o.field, o.internal) for o in result} == {
        ("10.0.0.1", "a.b.0.c", True),
        ("8.8.8.8", "d", False),
        ("pc", "hostname", True),
    }


@pytest.mark.parametrize(
    ("value", "internal"),
    [
        ("10.0.0.1", True), ("172.16.0.1", True), ("172.32.0.1", False), ("192.168.1.1", True), ("127.0.0.1", True),
        ("169.254.1.1", True), ("100.64.0.1", True), ("100.128.0.1", False), ("224.0.0.1", True), ("8.8.8.8", False),
        ("203.0.113.5", False), ("10.1.0.0/16", True), ("8.0.0.0/7", False), ("10.0.0.0/7", False), ("fd00::/8", True),
        ("2001:db8::/32", False), ("fe80::1", True), ("fd00::1", True), ("::1", True), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_internal_addresses(value: str, internal: bool) -> None:
    assert iocs.is_internal("ip", value) is internal


def test_public_groups_leave_assets_out_unless_the_sender_lists_them() -> None:
    payload = {
        "src_ip": "10.0.0.1", "dst_ip": "8.8.8.8", "hostname": "pc", "user": "bob", "md5": MD5, "sha256": SHA256,
        "iocs": {"ips": ["10.9.9.9"], "emails": ["a@b.com"]}, "cve": "CVE-2024-1234", "url": "http://a.com/x",
    }  # fmt: skip
    assert iocs.public_groups(iocs.extract(payload).observables) == {
        "ips": ["8.8.8.8", "10.9.9.9"],
        "hashes": [MD5, SHA256],
        "cves": ["CVE-2024-1234"],
        "urls": ["http://a.com/x"],
        "domains": ["a.com"],
        "emails": ["a@b.com"],
    }


def test_limits_are_said() -> None:
    many = iocs.extract({"m": " ".join(f"1.1.{n // 250}.{n % 250}" for n in range(300))}, limit=200)
    assert len(many.observables) == 200
    assert many.truncated
    assert many.notes == ("more than 200 observables; the first 200 are kept",)
    long_url = iocs.extract({"m": "http://evil.com/" + "a" * 3000})
    assert values({"m": "http://evil.com/" + "a" * 3000}) == {("domain", "evil.com")}
    assert "left out" in long_url.notes[0]
    long_text = iocs.extract({"m": "x " * 40_000 + "1.1.1.1"})
    assert "not read" in long_text.notes[0]
    assert not iocs.extract({"m": "1.1.1.1"}).truncated


@pytest.mark.parametrize(
    ("given_type", "value", "expected"),
    [
        ("hash", SHA1.upper(), ("sha1", SHA1)), ("hash", SHA512, ("sha512", SHA512)), ("ipv4", "1.2.3.4", ("ip", "1.2.3.4")),
        ("ipv6-addr", "2001:0DB8::1", ("ip", "2001:db8::1")), ("ip-src", "1[.]2.3.4", ("ip", "1.2.3.4")),
        ("ip", "203.0.113.0/24", ("ip", "203.0.113.0/24")), ("ip", "203.0.113.9/24", ("ip", "203.0.113.9")),
        ("ip", "2001:DB8::/32", ("ip", "2001:db8::/32")), ("ip", "2001:db8::1/128", ("ip", "2001:db8::1")),
        ("email", "O'Brien@Example.com", ("email", "o'brien@example.com")), ("cve", "CVE–2021–44228", ("cve", "CVE-2021-44228")),
        ("fqdn", "Web.Example.COM.", ("hostname", "web.example.com")), ("user-account", " Bob ", ("username", "bob")),
        ("mail", "A@B.com", ("email", "a@b.com")), ("regkey", "HKEY_CURRENT_USER\\X", ("registry_key", "HKCU\\X")),
        ("url", "HXXP://Evil[.]com:80", ("url", "http://evil.com/")), ("URI", "https://a.com:8443/%41?q=[1]",
                                                                       ("url", "https://a.com:8443/%41?q=%5B1%5D")),
        ("url", "http://evil.com\\@good.com/", ("url", "http://evil.com/@good.com/")),
        ("domain", "ÜBER.de", ("domain", "xn--ber-goa.de")), ("asn", "13335", ("asn", "AS13335")),
        ("mac", "005056ABCDEF", ("mac", "00:50:56:ab:cd:ef")), ("cve", "cve-2021-44228", ("cve", "CVE-2021-44228")),
        ("command-line", "cmd /c x", ("command_line", "cmd /c x")),
        ("registry_key", "HKLM:\\A/B", ("registry_key", "HKLM\\A\\B")),
        ("btc", "BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ", ("crypto_address",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq")),
    ],
)  # fmt: skip
def test_canonical(given_type: str, value: str, expected: tuple[str, str]) -> None:
    assert iocs.canonical(given_type, value) == expected
    assert iocs.canonical(*expected) == expected


@pytest.mark.parametrize(
    ("given_type", "value", "message"),
    [
        ("banana", "x", "unknown observable type “banana”"), ("ip", "1.2.3.²", "not an IP address"),
        ("ip", "010.1.1.1", "not an IP address"), ("ip", "1.2.3.0/33", "not a network"),
        ("email", "'a@b.com", "not an e-mail"), ("btc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "not a Bitcoin"),
        ("hash", "abc", "not an MD5"), ("sha256", MD5, "64 hexadecimal"),
        ("domain", "update.exe", "public suffix"), ("domain", "co.uk", "public suffix"), ("domain", "a b", "not a domain"),
        ("url", "evil.com/x", "not a URL"), ("url", "http://[1::2", "not a URL"), ("email", "a@b", "not an e-mail"),
        ("ip", "", "empty"), ("other", "a\0b", "control"), ("other", "a\ud800", "control"), ("other", "x" * 2049, "at most"),
        ("url", "http://a.com/" + "ü" * 1000, "at most"), ("filename", "a/b", "path"), ("asn", "AS0", "AS number"),
        ("registry_key", "SOFTWARE\\X", "registry key"), ("crypto_address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "Bitcoin"),
    ],
)  # fmt: skip
def test_canonical_refuses_with_a_sentence(given_type: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iocs.canonical(given_type, value)


def test_every_type_of_the_design_is_known() -> None:
    types = (
        "ip domain hostname url email md5 sha1 sha256 sha512 ssdeep filename path registry_key username mac asn cve mutex "
        "user_agent process command_line crypto_address file other"
    )
    assert set(iocs.TYPES) == set(types.split())


def test_pasted_text() -> None:
    pasted = f"evil[.]com\n1.1.1[.]1\nupdate.exe\nHKLM\\Software\\Windows NT\\x\nhxxp://a[.]com/b\n\n{MD5}"
    assert [(o.type, o.value) for o in iocs.parse_text(pasted).observables] == [
        ("domain", "evil.com"), ("ip", "1.1.1.1"), ("filename", "update.exe"),
        ("registry_key", "HKLM\\Software\\Windows NT\\x"), ("url", "http://a.com/b"), ("domain", "a.com"), ("md5", MD5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("evil.com", "evil[.]com"), ("1.2.3.4", "1[.]2[.]3[.]4"), ("joe@evil.com", "joe[@]evil[.]com"),
        ("http://evil.com/a.exe?b=c.d", "hxxp://evil[.]com/a.exe?b=c.d"), ("https://a.com/", "hxxps://a[.]com/"),
        ("ftp://a.com/", "fxp://a[.]com/"), ("ldap://1.1.1.1/a", "ldap[:]//1[.]1[.]1[.]1/a"), ("C:\\a.exe", "C:\\a.exe"),
    ],
)  # fmt: skip
def test_defang(value: str, safe: str) -> None:
    assert iocs.defang(value) == safe
    assert iocs.refang(safe) == value


def test_refang_undoes_defang_for_100_000_values() -> None:
    generator = random.Random(7)
    suffixes = ["com", "co.uk", "ru", "io", "xn--p1ai", "top"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    path_letters = letters + ".-_~!$&'()*+,;=:@/%"

    def word(alphabet: str, most: int) -> str:
        return "".join(generator.choices(alphabet, k=generator.randint(1, most)))

    for _ in range(25_000):
        domain = f"q{word(letters, 12)}.{generator.choice(suffixes)}"
        scheme = generator.choice(["http", "https", "ftp", "ldap", "sftp"])
        url = f"{scheme}://{domain}/{word(path_letters, 30)}?q={word(path_letters, 10)}"
        address = ".".join(str(generator.randint(0, 255)) for _ in range(4))
        for kind, value in (
            ("domain", domain),
            ("url", url),
            ("email", f"{word(letters, 8)}@{domain}"),
            ("ip", address),
        ):
            value = iocs.canonical(kind, value)[1]
            assert iocs.refang(iocs.defang(value)) == value


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(iocs.TYPES), st.text(max_size=80) | st.text("abc.[]()@:/h%x-_ ", max_size=40))
def test_canonical_is_stable_and_survives_defanging(kind: str, value: str) -> None:
    try:
        typed = iocs.canonical(kind, value)
    except ValueError:
        return
    assert iocs.canonical(*typed) == typed
    assert typed[1].encode()
    if kind in ("ip", "domain", "url", "email", "hostname"):
        assert iocs.refang(iocs.defang(typed[1])) == typed[1]


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=300) | st.text("a1.:@/-[]()hxtp fA0\\=%é访", max_size=200))
def test_whatever_is_found_is_canonical(text: str) -> None:
    for observable in iocs.extract({"message": text}).observables:
        assert iocs.canonical(observable.type, observable.value) == (observable.type, observable.value)
    iocs.parse_text(text)
    iocs.refang(text)


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    """Four times the text may cost four times as much; quadratic would be sixteen."""

    def cost(size: int) -> float:
        text = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            for _ in Scan(text, budget=10**9).results():
                pass
            best = min(best, time.process_time() - start)
        return best

    small, large = cost(8_000), cost(32_000)
    assert large < max(10 * small, 0.02), (small, large)


def work(call: Callable[[], object]) -> int:
    """Calls of functions, Python's and C's: what it costs, on any machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.collect()
    gc.disable()  # what it would call is not ours
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def read(text: str) -> None:
    """Everything in ``text``, without the caps."""
    for _ in Scan(text, budget=10**9, filenames=True).results():
        pass


@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_text(unit: str) -> None:
    """Four times the text is at most four times the work, and what every text costs."""
    texts = [unit * (size // len(unit)) for size in (4_000, 16_000)]
    small, large = (work(lambda text=text: read(text)) for text in texts)
    assert large <= 4.4 * small + 200, (small, large)


@pytest.mark.parametrize("inner", ['["a.com"]', "[[[[1]]]]", '{"a": "1.1.1.1"}', "[", '{"a":'])
def test_work_grows_with_encoded_json(inner: str) -> None:
    small, large = (
        work(
            lambda count=count: iocs.extract(
                {"m": [inner] * count, "whole": f"[{','.join([inner] * count)}]"}
            )
        )
        for count in (200, 800)
    )
    assert large <= 4.4 * small + 200, (small, large)


def test_encoded_json_is_capped_and_says_so() -> None:
    many = iocs.extract({"m": [json.dumps(list(range(9_000)))] * 5})
    assert many.notes == ("values beyond the first 20000 of encoded JSON, or 32 levels of it, were not read",)
    large = iocs.extract({"m": json.dumps(["1.1.1.1", *(["x" * 50] * 6_000)])})
    assert [one.value for one in large.observables] == ["1.1.1.1"]
    assert large.notes[0] == "JSON in a text of more than 262144 characters was read as text"
    [one] = iocs.extract({"a": {"b": '{"c": ["8.8.8.8"]}'}}).observables
    assert one.field == "a.b.c.0"


def test_keys_and_paths_in_pasted_text() -> None:
    pasted = (
        "Found HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Run on the box, then HKCU\\Software\\A and HKU\\B.\n"
        "HKCU:\\Software\\Run\\My Updater\n'HKCR\\a b\\c d' /v x\nC:\\Temp\\drop here.exe\n//a.com/x.php Node.js a.tar.gz"
    )
    assert [(o.type, o.value) for o in iocs.parse_text(pasted).observables] == [
        ("registry_key", "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Run"),
        ("registry_key", "HKCU\\Software\\A"), ("registry_key", "HKU\\B"),
        ("registry_key", "HKCU\\Software\\Run\\My Updater"), ("registry_key", "HKCR\\a b\\c d"),
        ("path", "C:\\Temp\\drop here.exe"), ("filename", "here.exe"), ("domain", "a.com"), ("filename", "a.tar.gz"),
    ]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_hostile_megabyte_is_cheap(unit: str) -> None:
    payload = {"message": unit * (1_000_000 // len(unit)), "more": [unit * (60_000 // len(unit))] * 10}
    start = time.process_time()
    result = iocs.extract(payload)
    assert time.process_time() - start < 2
    assert len(result.observables) <= 200


def test_judged_candidates_are_capped() -> None:
    scan = Scan("a.b " * 20_000)
    assert list(scan.results()) == []
    assert scan.budget == 0
    assert scan.left_out == [f"only the first {MAX_CANDIDATES} candidates were judged"]


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the public suffix list must not be fetched")

    from alerts.iocs import hosts

    hosts._extractor.cache_clear()
    hosts.under_public_suffix.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert found("evil.co.uk") == {("domain", "evil.co.uk")}
