"""A Dovecot that lets applications in as Exchange Online does: by XOAUTH2, with tokens of an Entra ID of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opensoar.embedded.service_user import ServiceUser, service_user
from tests.dovecot import USER, Dovecot
from tests.fakes.exchange import FakeExchangeTokens

_CONFIG = """
auth_mechanisms = plain login xoauth2
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {root}/oauth2.conf
}}
"""
_ASK = """
introspection_mode = auth
introspection_url = {url}
username_attribute = email
active_attribute = active
active_value = true
"""


class Exchange(Dovecot):
    """``entra`` issues the tokens."""

    def __init__(self, root: Path, user: ServiceUser | None, entra: FakeExchangeTokens) -> None:
        super().__init__(root, user)
        self.entra = entra

    def _give(self, path: Path) -> None:
        """Called when the configuration is written and the program not started yet."""
        (self.root / "oauth2.conf").write_text(_ASK.format(url=self.entra.url + self.entra.introspection))
        with (self.root / "dovecot.conf").open("a") as config:
            config.write(_CONFIG.format(root=self.root))
        super()._give(path)


@contextmanager
def running() -> Iterator[Exchange]:
    """One, ended afterwards with all it kept."""
    root = Path(tempfile.mkdtemp(prefix="opensoar-exchange-", dir="/tmp"))
    with FakeExchangeTokens(USER) as entra:
        server = Exchange(root, service_user(), entra)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(root, ignore_errors=True)
