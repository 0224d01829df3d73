"""A private Dovecot on loopback: an ordinary user's, with a certificate and a configuration of its own."""

from __future__ import annotations

import imaplib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opensoar.embedded.service_user import ServiceUser, service_user

USER, PASSWORD = "phish@corp.example", "correct-horse-imäp"
MISSING = "Dovecot is not installed. Cure: sudo apt-get install dovecot-imapd"
# Wrong passwords are tested often, and must not slow down who comes next: no delay, no penalty.
_CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = yes
ssl_cert = <{root}/cert.pem
ssl_key = <{root}/key.pem
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{root}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={root}/home
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
"""


class Dovecot:
    """A running one. ``ca_pem`` is what its clients trust; certificates are for localhost and 127.0.0.1."""

    def __init__(self, root: Path, user: ServiceUser | None) -> None:
        self.root = root
        self._user = user
        self.tls_port, self.plain_port = _free_port(), _free_port()
        self.ca_pem = self._certificate()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = find()
        assert program is not None, MISSING
        name, group = _names(self._user)
        config = self.root / "dovecot.conf"
        config.write_text(
            _CONFIG.format(
                root=self.root,
                user=name,
                group=group,
                plain=self.plain_port,
                tls=self.tls_port,
                password=PASSWORD,
            )
        )
        for directory in ("run", "state", "mail", "home"):
            (self.root / directory).mkdir(exist_ok=True)
        self._give(self.root)
        identity = {"user": self._user.uid, "group": self._user.gid, "extra_groups": []} if self._user else {}
        self._process = subprocess.Popen(
            [program, "-F", "-c", str(config)],
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.root / "stderr").open("wb"),
            start_new_session=True, **identity,  # type: ignore[arg-type]
        )  # fmt: skip
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(5)
            self._process = None

    @contextmanager
    def client(self, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        """Somebody else's client, with the folder open to write."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        with imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context, timeout=20) as box:
            box.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
            if box.select(folder)[0] != "OK":
                box.create(folder)
                box.select(folder)
            yield box

    def deliver(self, raw: bytes, folder: str = "INBOX", at: datetime | None = None) -> None:
        """Put a mail into a folder, arrived ``at``."""
        with self.client(folder) as box:
            when = imaplib.Time2Internaldate(at or datetime.now(UTC))
            kind, told = box.append(folder, "", when, raw)
            assert kind == "OK", told

    def empty(self, folder: str = "INBOX") -> None:
        """Delete what is in a folder."""
        with self.client(folder) as box:
            if box.search(None, "ALL")[1][0]:
                box.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
                box.expunge()

    def count_anew(self) -> None:
        """What a restore does: the same messages, another UIDVALIDITY, other UIDs."""
        with self.client("aside") as box:
            assert box.select("INBOX")[0] == "OK"
            box.copy("1:*", "aside")
        self.stop()
        for name in ("cur", "new", "tmp"):
            shutil.rmtree(self.root / "mail" / name, ignore_errors=True)
        for path in (self.root / "mail").iterdir():
            if path.is_file():
                path.unlink()
        self.start()
        time.sleep(1.1)  # UIDVALIDITY is a time in seconds
        with self.client("aside") as box:
            box.copy("1:*", "INBOX")

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                with self.client():
                    return
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.1)
        log = self.root / "log"
        said = (self.root / "stderr").read_text() + (log.read_text() if log.exists() else "")
        raise RuntimeError(f"Dovecot does not start: {said[-2000:]}")

    def _give(self, path: Path) -> None:
        if self._user is not None:
            for one in (path, *path.rglob("*")):
                os.chown(one, self._user.uid, self._user.gid, follow_symlinks=False)

    def _certificate(self) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (self.root / "cert.pem").write_bytes(pem)
        (self.root / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pem.decode()


def find() -> str | None:
    """Where the program is; None where it is not installed."""
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def running() -> Iterator[Dovecot]:
    """One, ended afterwards with all it kept."""
    root = Path(tempfile.mkdtemp(prefix="opensoar-imap-", dir="/tmp"))
    server = Dovecot(root, service_user())
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def _names(user: ServiceUser | None) -> tuple[str, str]:
    import grp
    import pwd

    uid, gid = (user.uid, user.gid) if user else (os.getuid(), os.getgid())
    return pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
