"""Dotted words that read like domains or addresses and are not: files, code, field names, package names, versions.

Only words found bare in running text are judged here. A value that the sender typed (``"domain": "…"``), the host of a
URL and a defanged name are taken at their word.
"""

from __future__ import annotations

from alerts.iocs.hosts import public_suffix


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Public suffixes that in running text nearly always are file extensions.
_FILE_SUFFIXES = frozenset(
    {"md", "py", "sh", "ps", "zip", "mov", "mk", "inc", "cab", "pub", "tf", "rpm", "bat"}
)
# Suffixes of real countries and registries that also are extensions: a file only when the name is a file's.
_SOMETIMES_FILES = _words("pl rs cc so ai la do app bz st am as in ms ml")
_FILE_STEMS = _words(
    "app build client config configure index install lib main makefile mod readme run script server setup test "
    "tests  update util utils"
)
# Words that name a thing in a log record ("user.name", "rule.id"), before a suffix that names a property of it.
_FIELDS = _words(
    "account agent alert client cloud container destination device dns error event file geo group host http log "
    "network object observer orchestrator organization os parent policy process registry related rule server "
    "service  source target threat tls url user vulnerability winlog"
)
_PROPERTIES = frozenset(
    {"name", "id", "email", "domain", "host", "group", "zone", "network", "security", "address"}
)
# Registered to single companies, written in code every day ("window.open", "fs.read").
_CODE_SUFFIXES = _words("open read call map save play got here how like zero data next java")
_NOT_DOMAINS = frozenset(
    {"asp.net", "vb.net", "ado.net", "socket.io", "node.js", "java.io", "java.net", "system.io"}
)
# Package names are domains written backwards: com.example.app, org.apache.commons.io.
_PACKAGE_ROOTS = frozenset({"com", "org", "net", "io", "edu", "gov", "java", "javax", "system", "microsoft"})

_VERSION_WORDS = _words(
    "version versions ver v vers build builds release rel firmware fw revision rev update patch sdk driver kernel "
    "agent oid section chapter chrome chromium firefox edge safari opera office java jre jdk openssl openssh "
    "nginx  apache php python node windows"
)
FILE_EXTENSIONS = _words(
    "7z apk asp aspx bat bin cab chm cmd com csv dat dll dmg doc docm docx elf eml exe gz hta htm html img iso "
    "jar js  jse json jsp lnk msg msi msix one pdf php pkg pl ppt pptx ps1 py rar rtf scr sh so sys tar tmp txt "
    "vbe vbs vhd  wsf xls xlsb xlsm xlsx xml zip"
)


def reads_as_domain(word: str) -> bool:
    """Whether a bare dotted ``word``, spelled as in the text, is meant as a domain. The suffix is checked elsewhere."""
    labels = word.split(".")
    last = labels[-1]
    # "failed.In the" and "System.Net" are joints of words; a name in capitals is in capitals throughout.
    if not (last.islower() or word.isupper()):
        return False
    labels = [label.lower() for label in labels]
    last, first, second_last = labels[-1], labels[0], labels[-2]
    if last in _CODE_SUFFIXES or last == "arpa" or ".".join(labels) in _NOT_DOMAINS:
        return False
    if second_last in _FIELDS and last in _PROPERTIES:
        return False
    if len(labels) > 2 and first in _PACKAGE_ROOTS:
        return False
    return not _reads_as_file(labels, word)


def _reads_as_file(labels: list[str], word: str) -> bool:
    last = labels[-1]
    if last in _FILE_SUFFIXES:
        # gov.md, com.py: below a second-level suffix nobody names a file.
        return "." not in public_suffix(".".join(labels))
    if last not in _SOMETIMES_FILES or len(labels) > 2:
        return False
    stem = labels[0]
    return (
        stem in _FILE_STEMS
        or (last == "so" and stem.startswith("lib"))
        or (last == "app" and word != word.lower())
    )


def reads_as_version(before: str) -> bool:
    """Whether the text just ``before`` a dotted number says that it is a version: ``version: ``, ``Chrome/``."""
    if before.endswith("/") and before[-2:-1].isalpha():
        return True
    words = before.rstrip(" \t:=\"'(-").rsplit(maxsplit=1)
    if not words:
        return False
    tail = words[0] if len(words) == 1 else words[1]
    word = tail.lower().strip("\"'([{,;")
    return word in _VERSION_WORDS or word.endswith("version")
