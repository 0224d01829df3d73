"""What the systems of the demo's organisation answered in its week. Nothing here speaks to a network."""

# Value: what each intel service said of it: (malicious, score, what it knows).
INTEL = {
    "203.0.113.77": {
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:c2"}),
        "AbuseIPDB": (True, 97, {"confidence": 97, "reports": 214}),
        "URLhaus": (True, 85, {"live_urls": 2}),
        "GreyNoise": (None, None, {"note": "not seen scanning"}),
    },
    "cdn-telemetry.example": {
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:c2"}),
        "URLhaus": (True, 85, {"live_urls": 2, "first_seen": "2 days ago"}),
    },
    "payroll-verify.example": {
        "URLhaus": (True, 80, {"threat": "phishing kit"}),
        "WHOIS": (None, None, {"registered": "2 days ago", "registrar": "Example Registrar"}),
    },
    "9f2c61b08a4d6f3be5c7712094adfe0123c86b5d90e4f7a1b2c3d4e577e3d41a": {
        "VirusTotal": (True, 82, {"engines": "58 of 71"}),
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:stage1"}),
    },
    "198.51.100.23": {
        "AbuseIPDB": (True, 100, {"confidence": 100, "reports": 1873}),
        "GreyNoise": (True, 70, {"classification": "malicious", "tag": "VPN bruteforcer"}),
    },
    "192.0.2.144": {
        "AbuseIPDB": (None, 12, {"confidence": 12, "reports": 3}),
        "GreyNoise": (None, None, {"note": "not seen scanning"}),
    },
    "pool.minexmr-proxy.example": {"URLhaus": (True, 75, {"threat": "coin miner pool"})},
    "198.51.100.201": {"GreyNoise": (False, 0, {"classification": "benign", "tag": "mail gateway"})},
    "supplier-billing.example": {"WHOIS": (None, 40, {"registered": "9 days ago"})},
}
KEY_OWNERS = {
    "ci-deploy": {"key": "AKIA…7Q2M", "owner": "Platform team", "last_normal_use": "yesterday, 17:55"}
}
SESSIONS = {"m.okafor": 4, "svc-backup": 1}
SCANNERS = ("NESSUS-01", "NESSUS-02")


class ServiceBusy(RuntimeError):
    """The service answered 503."""


class ServiceRefused(RuntimeError):
    """The service answered that it will not."""


_busy = set()


def verdicts(value):
    """What the intel services say of a value."""
    return INTEL.get(value, {})


def busy_at_first(service):
    """Of two questions the service is busy at the first: what a retry is for."""
    if service not in _busy:
        _busy.add(service)
        raise ServiceBusy(f"{service} answered 503 Service Unavailable")
    _busy.remove(service)


def summary(value, found):
    """One line: how many of how many call it malicious."""
    bad = sum(1 for malicious, _score, _detail in found.values() if malicious)
    if not found:
        return f"{value}: nothing known"
    return f"{value}: {'malicious' if bad else 'not malicious'} ({bad} of {len(found)} services)"
