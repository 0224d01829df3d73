"""The second attack: a password spray on the VPN, and one service account that gave way (INC-1039)."""

from __future__ import annotations

from alerts import services as alerts
from incidents import services as incidents
from opensoar.demo.case import Case
from opensoar.demo.desk import Desk, Signal

ATTACKER, GATEWAY = "198.51.100.23", "vpn-gw-02"
STARTED = 690.0


def tell(desk: Desk) -> None:
    """Everything that happens."""
    failures = desk.arrive([failure(number) for number in range(40)])
    signed_in = desk.arrives(
        Signal(
            676,
            "high",
            "VPN sign-in by a service account after 412 failures",
            "Splunk ES",
            "Brute Force Access Behavior Detected",
            GATEWAY,
            "svc-backup",
            ATTACKER,
            times=38,
            last=640,
            techniques=("T1110.003", "T1078"),
            extra={"search_name": "Brute Force Access Behavior Detected", "failures": 412},
        )
    )
    at_the_desk(desk, failures, signed_in)


def failure(number: int) -> Signal:
    """One account's failed sign-ins."""
    user = f"{'abcdefghijklmnoprstv'[number % 20]}.{('kaya', 'lund')[number // 20]}"
    return Signal(
        STARTED - number * 0.3, "medium", f"VPN sign-in failed 10 times for {user}", "Splunk ES",
        "Excessive Failed Logins", GATEWAY, user, ATTACKER, techniques=("T1110.003",),
    )  # fmt: skip


def at_the_desk(desk: Desk, failures: list[Signal], signed_in: Signal) -> None:
    """Opened in the evening, handed to the night, contained; one decision is still open."""
    case = Case(desk)
    kept = [signed_in, *failures[:4]]
    desk.each(672, "jonas", [signed_in], alerts.claim_alert)
    desk.each(671, "jonas", [signed_in], alerts.update_alert, determination="malicious")
    case.opens(
        670, "jonas", "Password spray on VPN, svc-backup signed in", [signed_in], severity="high", tlp="amber",
        tags=["vpn", "credentials"], description="One address tried 40 accounts on vpn-gw-02; svc-backup has no "
        "second factor and gave way.",
    )  # fmt: skip
    case.taken(669, "jonas")
    case.links(667, "jonas", failures)
    case.then(664, "jonas", incidents.add_observables, values=[("ip", ATTACKER), ("username", "svc-backup")])
    desk.at(660, desk.start, "jonas", "block_ip_perimeter", {"ip": ATTACKER})
    case.hands_over(
        640, "jonas", "ada", "The address is blocked on both firewalls. svc-backup was signed in for 9 minutes and read "
        "two shares; its sessions are ended. The account still works: four backup jobs need it at 22:00.",
        ["May svc-backup be disabled, and who tells the backup team?"], "Evening to night",
    )  # fmt: skip
    case.acknowledged(634, "ada")
    case.then(633, "ada", incidents.assign_incident, user=desk.user("ada"))
    desk.each(630, "ada", kept, alerts.assign_alert, user=desk.user("ada"))
    case.says(612, "ada", "Shares read by the session: `backup-logs`, `it-public`. Nothing was written. @tomas the "
              "conditional access rule for service accounts had an exception since March.")  # fmt: skip
    case.then(598, "ada", incidents.move_incident, status="contained")
    desk.each(596, "ada", failures[:4], alerts.update_alert, determination="malicious")
    desk.resolves(
        595, "ada", failures[4:], "malicious", "Part of the spray; no sign-in, the address is blocked"
    )
    case.says(540, "tomas", "Exception removed. Disabling svc-backup waits for the owner of the backup jobs.")
