"""The first attack: a payroll phish, a stolen session, a loader on two finance workstations (INC-1042)."""

from __future__ import annotations

from typing import Any

from alerts import services as alerts
from incidents import services as incidents
from opensoar.demo.case import Case
from opensoar.demo.desk import Desk, Signal

C2, DOMAIN = "203.0.113.77", "cdn-telemetry.example"
ISO_HASH = "9f2c61b08a4d6f3be5c7712094adfe0123c86b5d90e4f7a1b2c3d4e577e3d41a"
TITLE = "Payroll phish, session theft, loader on two finance workstations"


def tls(host_ip: str, port: int) -> dict[str, Any]:
    """What Suricata's EVE record says beside the alert."""
    return {
        "event_type": "alert", "flow_id": 1877240963318571 + port, "src_port": port, "dest_port": 443,
        "proto": "TCP", "sensor": "ham-01", "community": f"{host_ip}:{port}",
        "signature": {"gid": 1, "signature_id": 2045871, "rev": 3},
        "tls": {
            "sni": DOMAIN,
            "ja3": {"hash": "6734f37431670b3ab4292b8f60f29984"},
            "ja3s": {"hash": "623de93db17d313345d7ea481e7443cf"},
        },
    }  # fmt: skip


def tell(desk: Desk) -> None:
    """Everything that happens."""
    first, early = morning(desk)
    second, lsass = second_host(desk)
    case = Case(desk)
    at_the_desk(desk, case, first, early)
    until_now(desk, case, second, lsass)
    responses(desk, case)


def morning(desk: Desk) -> tuple[list[Signal], list[Signal]]:
    """What the incident is opened from, and what else belongs to the first host."""
    mail = Signal(
        97, "medium", "Mail with a link to payroll-verify.example in 14 mailboxes", "Defender",
        "Mail messages with malicious link delivered", user="m.okafor", partner="acme", times=2, last=96,
        tags=("phishing",), techniques=("T1566.002",),
        extra={"sender": "hr-payroll@payroll-verify.example", "message_id": "<20261124.7741@payroll-verify.example>",
               "recipients": 14, "url": "https://payroll-verify.example/session"},
    )  # fmt: skip
    travel = Signal(
        84, "medium", "Impossible travel: Gothenburg to Lagos in 22 min", "Sentinel", "Atypical travel",
        user="m.okafor", ip=C2, techniques=("T1557",),
    )  # fmt: skip
    sign_in = Signal(
        82, "medium", "Session used from a device nobody knows", "Sentinel", "Session cookie replay",
        user="m.okafor", ip=C2, techniques=("T1078", "T1557"),
    )  # fmt: skip
    powershell = Signal(
        74, "high", "PowerShell with encoded command from a mounted ISO", "Elastic Security",
        "Suspicious Execution from a Mounted Device", "FIN-WS-014", "m.okafor", "10.20.14.37", C2, times=2, last=73,
        techniques=("T1204.002", "T1059.001"),
        extra={"file": {"name": "Payslip_Nov.iso", "hash": {"sha256": ISO_HASH}},
               "process": {"name": "powershell.exe", "command_line": "powershell -enc SQBFAFgA"}},
    )  # fmt: skip
    inbox = Signal(
        47, "high", "Inbox rule forwards mail to an outside address", "Defender", "Suspicious inbox forwarding rule",
        user="m.okafor", ip=C2, techniques=("T1137.005", "T1114.003"),
        extra={"forward_to": "a.okafor.payroll@mailbox.example", "rule": "."},
    )  # fmt: skip
    first = [desk.arrives(s) for s in (mail, travel, powershell, inbox)]
    early = [desk.arrives(sign_in)]
    for number in range(11):
        beacon = Signal(
            69 - 3 * number, "high", f"Check-in {number + 1} of FIN-WS-014 with {DOMAIN}", "Suricata",
            "ET MALWARE Suspected Loader Check-in", "FIN-WS-014", None, "10.20.14.37", C2, times=3,
            last=67 - 3 * number, techniques=("T1071.001",), extra=tls("10.20.14.37", 51200 + number),
        )  # fmt: skip
        early.append(desk.arrives(beacon))
    return first, early


def second_host(desk: Desk) -> tuple[list[Signal], Signal]:
    """What shows that the isolation was not enough, and the newest of it."""
    loader = Signal(
        10, "medium", "Payslip_Nov.iso opened from a file share", "Elastic Security",
        "Execution of a Disc Image from a Share", "FIN-WS-022", "d.haas", "10.20.14.52", "10.20.0.8",
        techniques=("T1204.002", "T1059.001"),
        extra={"file": {"name": "Payslip_Nov.iso", "hash": {"sha256": ISO_HASH}}},
    )  # fmt: skip
    beacon = Signal(
        9, "critical", f"Beacon every 60 s to {DOMAIN}", "Suricata", "ET MALWARE Suspected Loader Check-in",
        "FIN-WS-022", "d.haas", "10.20.14.52", C2, times=10, last=1 / 3, techniques=("T1071.001", "T1573"),
        extra=tls("10.20.14.52", 51844) | {"file": {"hash": {"sha256": ISO_HASH}}},
    )  # fmt: skip
    lsass = Signal(
        3, "critical", "LSASS memory read by rundll32.exe", "Elastic Security",
        "LSASS Memory Access by Unusual Process", "FIN-WS-022", "d.haas", "10.20.14.52",
        techniques=("T1003.001", "T1218.011"),
        extra={"process": {"name": "rundll32.exe", "command_line": "rundll32 comsvcs.dll MiniDump 632"}},
    )  # fmt: skip
    return [desk.arrives(loader), desk.arrives(beacon)], desk.arrives(lsass)


def at_the_desk(desk: Desk, case: Case, first: list[Signal], early: list[Signal]) -> None:
    """The first host: opened, taken, contained."""
    tomas = desk.user("tomas")
    desk.each(43, "priya", first, alerts.claim_alert)
    case.opens(
        42, "priya", TITLE, first, severity="high", tlp="amber", pap="amber", tags=["phishing", "malware", "finance"],
        description="A mail about payslips leads to a page that steals sessions; who opened its ISO runs a loader that "
        "checks in every minute.",
    )  # fmt: skip
    case.taken(40, "tomas")
    desk.each(39.5, "tomas", first, alerts.assign_alert, user=tomas)
    values = [
        ("ip", C2), ("domain", "payroll-verify.example"), ("domain", DOMAIN), ("filename", "Payslip_Nov.iso"),
        ("sha256", ISO_HASH), ("email", "hr-payroll@payroll-verify.example"),
    ]  # fmt: skip
    case.then(39, "priya", incidents.add_observables, values=values)
    case.links(38, "tomas", early)
    short = f"{ISO_HASH[:4]}…{ISO_HASH[-4:]}"
    case.says(37, "priya", f"Payslip_Nov.iso secured from m.okafor’s downloads, 1.4 MB, sha256 `{short}`.")
    desk.each(35.5, "tomas", [*first, early[0]], alerts.update_alert, determination="malicious")
    desk.each(35, "tomas", early[:1], alerts.assign_alert, user=tomas)
    case.then(34.3, "tomas", incidents.update_incident, severity="critical")
    desk.resolves(32, "tomas", early[1:], "malicious", "FIN-WS-014 is isolated")
    case.says(31, "tomas", f"FIN-WS-014 isolated at {desk.hhmm(34)}, m.okafor signed out everywhere (4 sessions). "
              "@ada can you look at the mailbox?")  # fmt: skip
    case.says(
        27,
        "ada",
        "Mail gateway has taken the message back from all 14 mailboxes; none was forwarded outside.",
    )
    case.says(20, "ada", "Inbox rule “.” on m.okafor forwarded to `a.okafor.payroll[@]mailbox.example`. Removed it; "
              "export of the rule is in evidence. @priya please check the other 13 recipients.")  # fmt: skip


def until_now(desk: Desk, case: Case, second: list[Signal], lsass: Signal) -> None:
    """The second host: linked, handed over, nobody has acknowledged yet."""
    tomas = desk.user("tomas")
    case.says(
        12,
        "tomas",
        "MISP event 9913: the loader checks in every 60 s with this JA3. Asked the sensors for both.",
    )
    desk.each(7.2, "priya", second[1:], alerts.comment_alert, text="Same JA3 and 60 s interval as FIN-WS-014 this "
              "morning. Second host, so the isolation was not enough. @tomas")  # fmt: skip
    desk.each(6.8, "priya", second, alerts.update_alert, determination="malicious")
    case.links(6.7, "priya", second)
    desk.each(6.0, "priya", second, alerts.assign_alert, user=tomas)
    values = [("hostname", "FIN-WS-014"), ("hostname", "FIN-WS-022"), ("username", "m.okafor"), ("username", "d.haas"),
              ("email", "a.okafor.payroll@mailbox.example")]  # fmt: skip
    case.then(5.8, "priya", incidents.add_observables, values=values)
    case.hands_over(
        5.5, "priya", "tomas", "FIN-WS-014 is isolated and m.okafor’s sessions are revoked. FIN-WS-022 began the same "
        f"beacon at {desk.hhmm(9)}, so there is a second way in.",
        ["Did d.haas open the ISO too, or did it spread over SMB?",
         "Who approves isolation of a payroll machine before 10:00?"],
        "Night to day",
    )  # fmt: skip
    desk.each(2.2, "tomas", [lsass], alerts.claim_alert)
    desk.each(2.0, "tomas", [lsass], alerts.update_alert, determination="malicious")
    case.links(1.9, "tomas", [lsass])
    case.says(
        1.2, "priya", "Mailbox search done: 14 recipients, 3 clicked, only m.okafor entered credentials."
    )


def responses(desk: Desk, case: Case) -> None:
    """Playbooks that people start. The worker ends while it isolates FIN-WS-022; who resumes asks what became of it."""
    desk.at(68, desk.start, "priya", "block_ip_perimeter", {"ip": C2})
    desk.at(34.1, desk.engine.die_in, '"FIN-WS-022"')
    given = {"host": "FIN-WS-014", "user": "m.okafor", "ip": C2, "sha256": ISO_HASH, "domain": DOMAIN}
    case.runs(34, "tomas", "contain_host", given)
    desk.at(6.2, desk.engine.resume)
    # The last worker of the week ends at once: this run goes on wherever a real one takes it.
    desk.at(0.9, desk.engine.die_in, DOMAIN)
    case.runs(0.8, "tomas", "watch_for_spread", {"domain": DOMAIN, "minutes": 30})
