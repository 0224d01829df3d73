"""Observables: precision and recall on the labelled corpora, and time on an alert and on hostile text.

``python -m benchmarks observables`` measures ours and, where they can be imported, iocsearcher and ioc-finder. They are
no requirements: install them elsewhere and name the place in ``PYTHONPATH``. Their types are counted under ours, their
values are written as ours, and types they do not know are not held against them; payloads are given to them as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from alerts.iocs import canonical, extract
from tests.alerts.observables.hostile import UNITS
from tests.alerts.observables.test_corpus import FOLDERS, Result, corpus, found_in, labels

type Value = tuple[str, str]
type Finder = Callable[[dict[str, Any]], set[Value]]

MEGABYTE = 1_000_000
ALERT = {
    "message": "Suspicious PowerShell on WS-0142: powershell.exe -enc SQBFAFgA contacting 203.0.113.77",
    "source_ip": "203.0.113.77", "hostname": "ws-0142", "user": "corp\\jdoe", "rule_name": "Suspicious PowerShell",
    "severity": "high", "hashes": ["44d88612fea8a8f36de82e1278abb02f"], "timestamp": "2026-11-24T10:00:00Z",
    "url": "https://evil.example.com/payload/1.exe?id=77", "tags": ["attack.execution", "attack.t1059.001"],
    "process": {"name": "powershell.exe", "pid": 1234, "parent": {"name": "winword.exe"}},
    "event": {"id": "d9428888-122b-11e1-b85c-61cd3cbb3210"},
}  # fmt: skip

_IOCSEARCHER = {
    "ip4": "ip", "ip6": "ip", "ip4Net": "ip", "fqdn": "domain", "url": "url", "email": "email", "md5": "md5",
    "sha1": "sha1", "sha256": "sha256", "cve": "cve", "bitcoin": "crypto_address", "ethereum": "crypto_address",
    "monero": "crypto_address", "registry": "registry_key",
}  # fmt: skip
_IOC_FINDER = {
    "ipv4s": "ip", "ipv6s": "ip", "ipv4_cidrs": "ip", "ipv6_cidrs": "ip",
    "domains": "domain", "urls": "url", "email_addresses": "email",
    "md5s": "md5", "sha1s": "sha1", "sha256s": "sha256", "sha512s": "sha512", "ssdeeps": "ssdeep", "cves": "cve",
    "asns": "asn", "mac_addresses": "mac", "bitcoin_addresses": "crypto_address", "monero_addresses": "crypto_address",
    "registry_key_paths": "registry_key", "file_paths": "path",
}  # fmt: skip


def run(*, full: bool = False) -> dict[str, Any]:
    """Measure, print one table for each finder there is, then our times; return the figures."""
    results: dict[str, Any] = {folder: _finders(folder) for folder in FOLDERS}
    alert = 1e6 * best(lambda: extract(ALERT), 2_000 if full else 500)
    slowest = max((seconds(unit), unit) for unit in UNITS)
    print(f"an alert: {alert:.0f} µs")
    print(f"{len(UNITS)} hostile strings of 1 MB: the slowest takes {slowest[0]:.2f} s ({slowest[1]!r})")
    return results | {"alert_us": round(alert), "slowest_megabyte_s": round(slowest[0], 2)}


def _finders(folder: str) -> dict[str, Any]:
    ours = score(found_in, None, folder)
    print(f"{folder}: ours\n{ours.report()}\n")
    results: dict[str, Any] = {"ours": _figures(ours)}
    for name, kinds, made in (
        ("iocsearcher", _IOCSEARCHER, _iocsearcher),
        ("ioc_finder", _IOC_FINDER, _ioc_finder),
    ):
        try:
            module = importlib.import_module(name if name == "ioc_finder" else "iocsearcher.searcher")
        except ImportError:
            print(f"{name} is not installed here\n")
            continue
        begin = time.process_time()
        result = score(made(module), set(kinds.values()), folder)
        result.remarks.clear()
        took = time.process_time() - begin
        print(f"{folder}: {name}, {took:.1f} s\n{result.report()}\n")
        results[name] = _figures(result) | {"seconds": round(took, 1)}
    return results


def _figures(result: Result) -> dict[str, Any]:
    return {"precision": round(result.all.precision, 4), "recall": round(result.all.recall, 4)}


def score(find: Finder, kinds: set[str] | None, folder: str) -> Result:
    """What ``find`` makes of a corpus, of ``kinds`` only where some are given."""
    read = Result()
    for entry in corpus(folder):
        expected, found = labels(entry, "expected"), find(entry)
        if kinds is not None:
            expected = {value for value in expected if value[0] in kinds}
        for what, values in (
            ("right", expected & found),
            ("missed", expected - found),
            ("wrong", found - expected),
        ):
            for kind, _value in values:
                read.add(kind, what)
    return read


def seconds(unit: str) -> float:
    """Processor time for a megabyte of ``unit``."""
    payload = {"message": unit * (MEGABYTE // len(unit))}
    begin = time.process_time()
    extract(payload)
    return time.process_time() - begin


def best(call: Callable[[], object], times: int = 500) -> float:
    """The shortest of many runs: what it costs when nobody disturbs."""
    shortest = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - begin)
    return shortest


def _text(entry: dict[str, Any]) -> str:
    return entry["text"] if "text" in entry else json.dumps(entry["payload"], ensure_ascii=False)


def _as_ours(found: Iterable[Value]) -> set[Value]:
    values = set()
    for kind, value in found:
        try:
            values.add(canonical(kind, value))
        except ValueError:
            values.add((kind, value))
    return values


def _iocsearcher(module: Any) -> Finder:
    searcher = module.Searcher()

    def find(entry: dict[str, Any]) -> set[Value]:
        found = searcher.search_data(_text(entry))
        return _as_ours((_IOCSEARCHER[one.name], one.value) for one in found if one.name in _IOCSEARCHER)

    return find


def _ioc_finder(module: Any) -> Finder:
    def find(entry: dict[str, Any]) -> set[Value]:
        found = module.find_iocs(_text(entry), included_ioc_types=list(_IOC_FINDER))
        return _as_ours((kind, value) for name, kind in _IOC_FINDER.items() for value in found.get(name, ()))

    return find


if __name__ == "__main__":
    run(full="--full" in sys.argv)
