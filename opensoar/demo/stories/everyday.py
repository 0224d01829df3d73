"""What else the desk works on: a supplier's mailbox, a lost laptop, a consent nobody gave, and what is over."""

from __future__ import annotations

from alerts import services as alerts
from incidents import services as incidents
from opensoar.demo.case import Case
from opensoar.demo.desk import Desk, Signal

HOUR, DAY = 60.0, 1440.0
SPLUNK, SENTINEL, DEFENDER, WAZUH, SURICATA = "Splunk ES", "Sentinel", "Defender", "Wazuh", "Suricata"


def tell(desk: Desk) -> None:
    """In the order of their numbers."""
    build_agent(desk)
    tills(desk)
    phishing_button(desk)
    lost_laptop(desk)
    forklift_terminal(desk)
    supplier(desk)
    local_admin(desk)
    consent(desk)
    open_questions(desk)


def build_agent(desk: Desk) -> None:
    """INC-1033: closed as benign, 112 alerts."""
    start = 3 * DAY + 5 * HOUR
    signals = desk.arrive([
        Signal(
            start - number * 1.5, "low", f"Long random subdomain {number + 1} of one zone from BUILD-07", SURICATA,
            "ET DNS Query for Long Random Subdomain", "BUILD-07", None, "10.30.2.7", "10.0.0.53",
            techniques=("T1071.004",), extra={"query": f"{number * 7919 + 104729:x}f3a9.cache.packages.example"},
        )
        for number in range(112)
    ])  # fmt: skip
    case = Case(desk)
    opened = 3 * DAY
    case.opens(
        opened,
        "ada",
        "DNS tunnelling from a build agent",
        signals,
        severity="medium",
        tlp="green",
        pap="green",
    )
    case.taken(opened - 8, "ada")
    case.says(
        opened - 30,
        "ada",
        "Every name belongs to the package cache’s content addresses. Asked the platform team.",
    )
    case.then(opened - 55, "ada", incidents.move_incident, status="contained")
    desk.resolves(opened - 300, "ada", signals, "benign", "Names of the package cache")
    case.closes(
        opened - 28 * HOUR, "ada", "benign", "none",
        "The package cache names its objects by hash and asks DNS for them. No data left; the rule gets an exception for "
        "`cache.packages.example`.",
    )  # fmt: skip


def tills(desk: Desk) -> None:
    """INC-1034: closed, reopened, closed again."""
    seen = [
        desk.arrives(Signal(2.7 * DAY - number * 9, "high", f"Unsigned driver loaded on till {name}", "CrowdStrike",
                            "Unsigned Kernel Driver", name, "kasse", f"10.40.7.{20 + number}", techniques=("T1543.003",)))
        for number, name in enumerate(("POS-HL-04", "POS-HL-05", "POS-HL-11"))
    ]  # fmt: skip
    case = Case(desk)
    case.opens(
        2.6 * DAY, "jonas", "Unsigned driver on three tills in Lübeck", seen, severity="high", tlp="amber"
    )
    case.taken(2.59 * DAY, "jonas")
    case.closes(
        2.4 * DAY,
        "jonas",
        "benign",
        "none",
        "The receipt printer’s new driver; the vendor forgot to sign it.",
    )
    case.then(
        2.1 * DAY, "tomas", incidents.reopen_incident, reason="Till 11 has another hash than the other two"
    )
    case.says(
        2.0 * DAY, "jonas", "Till 11 had an older build of the same driver. Vendor confirms both hashes."
    )
    desk.resolves(1.95 * DAY, "jonas", seen, "benign", "Printer driver, both builds confirmed by the vendor")
    case.closes(
        1.9 * DAY,
        "jonas",
        "benign",
        "limited",
        "Printer driver, two builds. Signed versions arrive in December.",
    )


def phishing_button(desk: Desk) -> None:
    """INC-1035: closed through the API, without an assessment."""
    mail = desk.arrives(Signal(2.2 * DAY, "low", "Reported mail: parcel could not be delivered", DEFENDER,
                               "User reported phishing", None, "e.vogt", tags=("phishing",),
                               extra={"message_id": "<parcel-88@mail.example>", "recipients": 1}))  # fmt: skip
    case = Case(desk)
    case.opens(2.1 * DAY, "priya", "Test of the report-phishing button", [mail], severity="low", tlp="clear")
    case.then(2.05 * DAY, "script", incidents.close_unassessed)
    desk.resolves(2.04 * DAY, "priya", [mail], "benign", "Test of the button")


def lost_laptop(desk: Desk) -> None:
    """INC-1036: contained."""
    lost = desk.arrives(Signal(1.05 * DAY, "low", "Device reported lost by its owner", DEFENDER, "Lost device report",
                               "FIN-LT-007", "c.albers"))  # fmt: skip
    case = Case(desk)
    desk.each(1.04 * DAY, "priya", [lost], alerts.claim_alert)
    case.opens(1.02 * DAY, "priya", "Lost laptop, disk encrypted, badge disabled", [lost], severity="low", tlp="clear",
               tags=["finance"])  # fmt: skip
    case.taken(1.01 * DAY, "priya")
    case.says(
        1.0 * DAY, "priya", "BitLocker on, last check-in yesterday 17:40. Wipe is queued; badge disabled."
    )
    case.then(0.99 * DAY, "priya", incidents.move_incident, status="contained")


def forklift_terminal(desk: Desk) -> None:
    """INC-1037: the other partner's, closed."""
    seen = [
        desk.arrives(Signal(23 * HOUR - number * 4, "medium", f"Remote tool started on terminal {name}", "CrowdStrike",
                            "Remote Access Software", name, "lager", f"172.20.5.{30 + number}", partner="hanse",
                            techniques=("T1219",)))
        for number, name in enumerate(("HL-TERM-12", "HL-TERM-13"))
    ]  # fmt: skip
    case = Case(desk)
    case.opens(
        22 * HOUR, "tomas", "Remote support tool on forklift terminals", seen, severity="medium", tlp="amber"
    )
    case.taken(21.9 * HOUR, "tomas")
    case.says(
        21 * HOUR,
        "tomas",
        "Installed by the terminal vendor without a ticket. Vendor account disabled meanwhile.",
    )
    desk.resolves(20.5 * HOUR, "tomas", seen, "suspicious", "Vendor’s tool without a ticket; removed")
    case.closes(20 * HOUR, "tomas", "suspicious", "limited",
                "The vendor installed a remote tool without asking. Removed; the contract now names who may.")  # fmt: skip


def supplier(desk: Desk) -> None:
    """INC-1038: contained, two alerts still open."""
    who = "Accounts payable"
    titles = ("Reply chain continued from a new domain", "Invoice with changed bank details", "Mail from a look-alike domain",
              "Inbox rule hides a supplier’s mail", "Supplier account signs in from a hosting provider")  # fmt: skip
    users = ("b.frank", "s.lehmann", "b.frank", "s.lehmann", "b.frank")
    seen = [
        desk.arrives(Signal(19.6 * HOUR - number * 6, "high" if number < 2 else "medium", title, DEFENDER,
                            "Business email compromise", None, user, "198.51.100.88", tags=("phishing", "bec"),
                            techniques=("T1566.002", "T1114.003"),
                            extra={"sender": "billing@supplier-billing.example", "department": who, "recipients": 2,
                                   "message_id": f"<inv-20{number}@supplier-billing.example>"}))
        for number, (title, user) in enumerate(zip(titles, users, strict=True))
    ]  # fmt: skip
    case = Case(desk)
    desk.each(19.1 * HOUR, "jonas", seen, alerts.claim_alert)
    case.opens(19 * HOUR, "jonas", "Supplier mailbox sends invoice with changed bank details", seen, severity="high",
               tlp="amber+strict", tags=["bec", "finance"])  # fmt: skip
    case.taken(18.9 * HOUR, "jonas")
    case.then(18.5 * HOUR, "jonas", incidents.add_observables,
              values=[("domain", "supplier-billing.example"), ("email", "billing@supplier-billing.example")])  # fmt: skip
    case.says(18 * HOUR, "jonas", "Called the supplier by the number in the contract: their mailbox is compromised. Payment "
              "of 48,200 € was stopped before it left.")  # fmt: skip
    case.then(16.9 * HOUR, "jonas", incidents.move_incident, status="contained")
    desk.resolves(16 * HOUR, "jonas", seen[2:], "malicious", "Part of the supplier’s compromised mailbox")


def local_admin(desk: Desk) -> None:
    """INC-1040: investigating."""
    seen = desk.arrives(Signal(77, "medium", "New local administrator on a server", WAZUH,
                               "60154 Administrators group changed", "SQL-PRD-02", "svc-patch", "10.10.4.12",
                               tags=("change 88412",), techniques=("T1098",)))  # fmt: skip
    case = Case(desk)
    desk.each(72, "priya", [seen], alerts.claim_alert)
    case.opens(67, "priya", "Local administrator added on SQL-PRD-02 without a change", [seen], severity="medium",
               tlp="green", pap="green")  # fmt: skip
    case.taken(63, "priya")
    case.says(
        58,
        "priya",
        "There is a change after all, 88412, filed an hour late. Waiting for its owner to confirm.",
    )
    desk.each(57, "priya", [seen], alerts.update_alert, determination="benign")


def consent(desk: Desk) -> None:
    """INC-1041: open, nobody's."""
    asked = desk.arrives(Signal(54, "medium", "Mail-read permission granted to an app without publisher", SENTINEL,
                                "Risky OAuth permission grant", None, "k.meyer", "198.51.100.201",
                                techniques=("T1528",), extra={"app": "MailSort Pro"}))  # fmt: skip
    given = desk.arrives(Signal(52, "medium", "OAuth consent to an unverified app", SENTINEL,
                                "Suspicious application consent", None, "k.meyer", "198.51.100.201",
                                techniques=("T1528",), extra={"app": "MailSort Pro"}))  # fmt: skip
    Case(desk).opens(50, "priya", "Unverified OAuth app asks for mail access", [asked, given], severity="medium",
                     tlp="green", pap="green")  # fmt: skip


def open_questions(desk: Desk) -> None:
    """Single alerts that the pages of the desk show."""
    task = desk.arrives(Signal(22, "medium", "Scheduled task created by a non-admin user", WAZUH,
                               "92154 Scheduled task created", "HR-WS-003", "l.brandt", "10.20.9.18",
                               techniques=("T1053.005",)))  # fmt: skip
    desk.each(20, "priya", [task], alerts.claim_alert)
    dns = Signal(31, "medium", "DNS queries with high entropy to one zone", SURICATA,
                 "ET DNS Query for Long Random Subdomain", "BUILD-07", None, "10.30.2.7", times=112, last=1,
                 tags=("known scanner?",), techniques=("T1071.004",))  # fmt: skip
    burst = Signal(190, "low", "Burst of DNS queries from a build agent", SURICATA, "ET DNS Excessive NXDOMAIN",
                   "BUILD-07", None, "10.30.2.7")  # fmt: skip
    usb = Signal(135, "low", "USB storage attached outside office hours", "CrowdStrike", "Removable Storage Policy",
                 "LOG-WS-041", "p.silva", "10.22.3.41", techniques=("T1091",))  # fmt: skip
    cert = Signal(248, "informational", "TLS certificate expires in 13 days", "Alertmanager", "CertExpiresSoon",
                  "intranet-lb-01", times=4, last=10)  # fmt: skip
    for signal in (burst, usb, cert, dns):
        desk.arrives(signal)
    own_scanner(desk)


def own_scanner(desk: Desk) -> None:
    """Two alerts about the vulnerability scanner: somebody said no to making them an incident."""
    sweep = desk.arrives(Signal(180, "low", "Service sweep from an internal host", SURICATA, "ET SCAN Service Sweep",
                                "NESSUS-01", None, "10.10.1.5", times=20, last=100))  # fmt: skip
    ports = desk.arrives(Signal(35, "low", "Port scan from an internal host", SURICATA, "ET SCAN Potential SSH Scan",
                                "NESSUS-01", None, "10.10.1.5", times=640, last=30, tags=("known scanner?",)))  # fmt: skip
    desk.each(29, "ada", [sweep, ports], alerts.update_alert, determination="benign")
    desk.at(28, desk.dismiss, "ada", "10.10.1.5", "Our own vulnerability scanner, see the asset list")
