"""Everyday noise: what sensors of a retailer and a logistics company say in a week. Drawn with a fixed seed.

Open alerts of the noise share nothing with each other, so that what is suggested is what the stories are about.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from alerts import services as alerts
from opensoar.demo.desk import Desk, Signal

WEEK = 7 * 1440.0
OPEN = {None: 151, "tomas": 1, "priya": 3}  # how many stay open with whom
RESOLVED = 64
SITES = {"acme": ("KI", "HL", "HH", "B", "M"), "hanse": ("HL-DEPOT", "HRO", "GDN")}
FIRST = "abcdefghijklmnoprstvw"
LAST = (
    "arndt",
    "beck",
    "conrad",
    "dietz",
    "ebert",
    "fuchs",
    "graf",
    "horn",
    "jung",
    "krause",
    "lorenz",
    "maier",
)

# severity, source, title, rule, techniques, how often
KINDS = (
    ("informational", "Alertmanager", "Disk of {host} is 85 % full", "DiskFillingUp", (), 8),
    ("informational", "Sentinel", "New device registered by {user}", "Device registration", (), 8),
    ("low", "CrowdStrike", "USB storage attached on {host}", "Removable Storage Policy", ("T1091",), 14),
    ("low", "Wazuh", "Three failed sign-ins of {user}", "5503 User login failed", ("T1110",), 16),
    ("low", "Suricata", "Outdated TLS version from {host}", "ET POLICY TLS 1.0 Client Hello", (), 12),
    ("low", "Defender", "{user} reported a mail as phishing", "User reported phishing", ("T1566",), 9),
    ("low", "Elastic Security", "PowerShell profile changed on {host}", "PowerShell Profile Modified", ("T1546.013",), 7),
    ("medium", "Sentinel", "Atypical sign-in of {user}", "Atypical travel", ("T1078",), 10),
    ("medium", "Elastic Security", "Remote desktop to {host} from another floor", "RDP from Unusual Subnet", ("T1021.001",), 6),
    ("medium", "Wazuh", "Service installed on {host}", "61138 New Windows service", ("T1543.003",), 7),
    ("medium", "Suricata", "{host} asks for a parked domain", "ET INFO Parked Domain Lookup", ("T1071.004",), 8),
    ("medium", "Splunk ES", "{user} downloads more files than usual", "Unusual Volume of Downloads", ("T1530",), 5),
)  # fmt: skip
URGENT = (
    ("high", "CrowdStrike", "Credential tool blocked on {host}", "Credential Dumping Tool", ("T1003",)),
    ("high", "Defender", "Mail with a macro document delivered to {user}", "Malicious attachment delivered", ("T1566.001",)),
    ("high", "Elastic Security", "Web shell pattern in the upload folder of {host}", "Web Shell Detection", ("T1505.003",)),
    ("high", "Splunk ES", "{user} added to a privileged group", "Privileged Group Modified", ("T1098",)),
    ("high", "Suricata", "{host} answers a scan for the printer flaw", "ET EXPLOIT Print Spooler Attempt", ("T1210",)),
)  # fmt: skip
REASONS = {
    "benign": ("Known software", "Change was announced", "User confirms", "Expected after the update"),
    "suspicious": ("Nothing found, keeps an eye on it", "User does not remember it"),
    "malicious": ("Blocked by the sensor, nothing ran",),
}


def tell(desk: Desk) -> None:
    """Open noise of the last two days, settled noise of the week, and what failed to be understood."""
    draw = random.Random(desk.seed)  # its own: another story's draws change nothing here
    people = _people(draw)
    hosts = (f"WS-{number:04d}" for number in range(101, 999))
    for owner, count in OPEN.items():
        for number in range(count):
            urgent = owner is None and number < len(URGENT)
            signal = _signal(draw, people, hosts, URGENT[number] if urgent else None, within=(8, 2880))
            desk.arrives(signal)
            if owner is not None:
                desk.each(signal.age - 4, owner, [signal], alerts.claim_alert)
    for _number in range(RESOLVED):
        _settled(desk, draw, _signal(draw, people, hosts, None, within=(300, WEEK - 60)))
    _scans(desk)
    _odd_ones(desk)


def _people(draw: random.Random) -> Iterator[str]:
    """Every person once, in a drawn order."""
    names = [f"{first}.{last}" for first in FIRST for last in LAST] + [
        f"{f}{g}.nowak" for f in FIRST for g in FIRST
    ]
    draw.shuffle(names)
    return iter(names)


def _signal(
    draw: random.Random, people: Iterator[str], hosts: Iterator[str], kind: tuple[str, str, str, str, tuple[str, ...]] | None,
    within: tuple[float, float],
) -> Signal:  # fmt: skip
    if kind is None:
        kind = draw.choices([row[:5] for row in KINDS], [row[5] for row in KINDS])[0]
    severity, source, title, rule, techniques = kind
    partner = "hanse" if draw.random() < 0.15 else "acme"
    host, user = f"{draw.choice(SITES[partner])}-{next(hosts)}", next(people)
    number = int(host[-3:])
    network = "10.2" if partner == "acme" else "172.2"
    ip = f"{network}{number % 7}.{number // 7}.{number % 250 + 2}"
    age = _working_hours(draw, *within)
    times = draw.choices((1, 2, 4, 9), (70, 15, 10, 5))[0]
    return Signal(
        age, severity, title.format(host=host, user=user), source, rule, host, user, ip,
        partner=partner, techniques=techniques, times=times, last=age * 0.9 if times > 1 else None,
    )  # fmt: skip


def _working_hours(draw: random.Random, low: float, high: float) -> float:
    """An age in minutes; by day it is four times as likely as by night (now is taken for a morning)."""
    while True:
        age = draw.uniform(low, high)
        by_night = 3 * 60 < age % 1440 < 14 * 60
        if not by_night or draw.random() < 0.25:
            return age


def _settled(desk: Desk, draw: random.Random, signal: Signal) -> None:
    """Claimed and resolved by somebody, within hours."""
    who = draw.choice(
        ("priya", "tomas", "ada", "jonas") if signal.partner == "acme" else ("priya", "tomas", "ada")
    )
    word = draw.choices(("benign", "suspicious", "malicious"), (85, 10, 5))[0]
    desk.arrives(signal)
    taken = signal.age * draw.uniform(0.86, 0.95)
    desk.each(taken, who, [signal], alerts.claim_alert)
    desk.resolves(taken - draw.uniform(3, 30), who, [signal], word, draw.choice(REASONS[word]))


def _scans(desk: Desk) -> None:
    """The nightly scan, which a playbook resolves."""
    for night in range(7):
        desk.arrives(Signal(night * 1440 + 420, "low", "Vulnerability scan of the server network", "Suricata",
                            "ET SCAN Nessus User Agent", "NESSUS-02", None, "10.10.1.6", times=6,
                            last=night * 1440 + 400, tags=("scheduled scan",)))  # fmt: skip


def _odd_ones(desk: Desk) -> None:
    """A lookup that fails, a block that is refused, a shell in a container, a body nobody understands."""
    brute = desk.arrives(Signal(1700, "high", "SSH brute force against a public instance", "GuardDuty",
                                "UnauthorizedAccess:EC2/SSHBruteForce", "i-09be12fa31", None, "203.0.113.201",
                                techniques=("T1110",)))  # fmt: skip
    desk.resolves(1660, "ada", [brute], "benign", "Key-only SSH, nobody came in")
    desk.at(1655, desk.start, "ada", "block_ip_perimeter", {"ip": "203.0.113.201"})
    desk.at(1500, desk.start, "jonas", "block_ip_perimeter", {"ip": "10.20.14.37"})
    desk.at(4000, desk.start, "tomas", "disable_leaked_key", {"user": "ci-test"})
    shell = desk.arrives(Signal(900, "medium", "Shell started in container shop-frontend-3", "Wazuh",
                                "87924 Docker: shell in container", "docker-hl-02", "root", "10.30.4.2", tags=("docker",),
                                techniques=("T1609",), extra={"container": {"name": "shop-frontend-3"}}))  # fmt: skip
    desk.resolves(870, "jonas", [shell], "benign", "Debug session of the shop team, ticket 5512")
    desk.delivery(
        134, "Splunk ES", b'{"sid": "scheduler__admin_search__RMD5", "search_name": "Brute Force Acc'
    )
    desk.delivery(133, "Splunk ES", b"\xff\xfe<html><body>502 Bad Gateway</body></html>")
