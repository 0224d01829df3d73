"""Mails as people report them."""

from __future__ import annotations

from email.message import EmailMessage

ATTACHMENT = b"MZ\x90\x00 no program at all"


def phish(number: int = 1, *, subject: str = "Your account is locked") -> EmailMessage:
    """A message from outside, as the receiving server stored it."""
    mail = EmailMessage()
    mail["Return-Path"] = "<bounce@mailer.evil.top>"
    mail["Received"] = (
        "from mx.corp.example (mx.corp.example [10.0.0.5]) by store.corp.example; Tue, 24 Nov 2026 08:00:02 +0100"
    )
    mail["Received"] = (
        "from evil (mailer.evil.top [203.0.113.7]) by mx.corp.example; Tue, 24 Nov 2026 08:00:01 +0100"
    )
    mail["Received"] = (
        "from trusted (localhost [198.51.100.1]) by mailer.evil.top; Tue, 24 Nov 2026 08:00:00 +0100"
    )
    mail["Authentication-Results"] = "mx.corp.example; spf=fail smtp.mailfrom=evil.top; dkim=none; dmarc=fail"
    mail["From"] = '"IT Helpdesk" <helpdesk@corp-example.top>'
    mail["Reply-To"] = "collect@evil.top"
    mail["To"] = "jane@corp.example"
    mail["Subject"] = f"{subject} {number}"
    mail["Date"] = "Tue, 24 Nov 2026 07:59:00 +0100"
    mail["Message-ID"] = f"<{number}@mailer.evil.top>"
    mail.set_content("Unlock it at hxxp://unlock[.]evil[.]top/now, or ask joe@corp.example.\n")
    mail.add_alternative(
        '<html><head><style>p{color:red}</style></head><body><p>Unlock it '
        '<a href="https://login.evil.top/a?b=1&amp;c=2">here</a></p></body></html>', subtype="html",
    )  # fmt: skip
    mail.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="invoice.exe")
    return mail


def reported(number: int = 1, *, inner: EmailMessage | None = None) -> EmailMessage:
    """Jane attaches it to a mail of her own."""
    mail = EmailMessage()
    mail["From"] = "Jane Roe <jane@corp.example>"
    mail["To"] = "phish@corp.example"
    mail["Subject"] = f"Phishing? {number}"
    mail["Date"] = "Tue, 24 Nov 2026 09:00:00 +0100"
    mail["Message-ID"] = f"<report-{number}@corp.example>"
    mail.set_content("Is this real? Jane, +49 30 123456, https://intranet.corp.example/jane\n")
    mail.add_attachment(inner if inner is not None else phish(number))
    return mail


def forwarded(number: int = 1) -> EmailMessage:
    """Jane forwards it inline, as Outlook writes that."""
    mail = EmailMessage()
    mail["From"] = "Jane Roe <jane@corp.example>"
    mail["Subject"] = "FW: Overdue"
    mail["Message-ID"] = f"<forward-{number}@corp.example>"
    mail.set_content(
        "Please check.\n\n-----Original Message-----\n"
        "From: Bad Guy <bad@evil.top<mailto:bad@evil.top>>\nSent: Monday, 23 November 2026 09:00\n"
        f"To: Jane Roe\nSubject: Overdue {number}\n\nPay at http://pay.evil.top/x today.\n"
    )
    return mail
