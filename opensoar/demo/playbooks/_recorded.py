"""What the systems of the demo's organisation answered in its week. Nothing here speaks to a network."""

from ._intel import INTEL

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
