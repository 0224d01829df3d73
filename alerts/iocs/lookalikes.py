"""Dotted words that read like domains or addresses and are not: files, code, field names, package names, versions.

Only words found bare in running text are judged here. A value that the sender typed (``"domain": "…"``), the host of a
URL and a defanged name are taken at their word.
"""

from __future__ import annotations

from alerts.iocs.hosts import is_shared_suffix, public_suffix


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
    "account agent alert client cloud container data destination device dns entity error event file geo group host http item "
    "log network node obj object observer orchestrator organization os parent policy process "
    "record registry related request response rule server "
    "service session source target threat tls url user vulnerability winlog"
)
_PROPERTIES = frozenset(
    {"name", "id", "email", "domain", "host", "group", "zone", "network", "security", "address"}
)
# Registered to single companies, written in code every day ("window.open", "fs.read").
_CODE_SUFFIXES = _words("open read call map save play got here how like zero data next java")
_NOT_DOMAINS = frozenset(
    {"asp.net", "vb.net", "ado.net", "socket.io", "node.js", "java.io", "java.net", "system.io"}
)
# What code hangs its names under: "window.location.host".
_CODE_ROOTS = _words("window document self this navigator console sys os module exports args kwargs evt")
# Package names are domains written backwards: com.example.app, org.apache.commons.io.
_PACKAGE_ROOTS = frozenset({"com", "org", "net", "io", "edu", "gov", "java", "javax", "system", "microsoft"})

_VERSION_WORDS = _words(
    "version versions ver v vers build builds release rel firmware fw revision rev update patch sdk driver kernel "
    "agent oid section chapter chrome chromium firefox edge safari opera office java jre jdk openssl openssh "
    "nginx  apache php python node windows"
)
_ABBREVIATIONS = frozenset({"v.", "ver.", "vers.", "rev.", "rel."})
FILE_EXTENSIONS = _words(
    "7z accdb ace apk asp aspx avi bak bat bin bmp bz2 cab cfg chm cmd conf cpl cpp crt cs csv dat dll dmg doc docm docx docb "
    "dot dotm elf eml exe gif go gz hta htm html ico img ini iso jar java jpeg jpg js jse json jsp lnk log lua md mdb mov mp3 "
    "mp4 msc msg msi msix odt ocx one onepkg ova p7s p7m pcap pdf pem pfx php pif pkg pl png potm ppam pps ppsm ppt pptm "
    "pptx ps1 psm1 pst pub py pyc rar rb reg rpm rs rtf scf scr sct sh so sql sqlite svg swf sys tar tgz tif tmp txt url "
    "vb vbe vbs vhd vhdx war wav webp wim wsf wsh xlam xll xls xlsb xlsm xlsx xml xz yaml yml zip"
)
_SCRIPT_LIBRARIES = _words(
    "angular backbone chart d3 electron ember express gatsby jquery knockout moment nest next node nuxt p5 react "
    "socket svelte three vue"
)


def reads_as_domain(word: str) -> bool:
    """Whether a bare dotted ``word``, spelled as in the text, is meant as a domain. The suffix is checked elsewhere."""
    labels = word.split(".")
    last = labels[-1]
    # "failed.In the" and "System.Net" are joints of words; a name in capitals is in capitals throughout, or its suffix.
    if last != last.lower() and not word.isupper():
        capitals = last.isupper() and (len(labels) > 2 or (len(last) > 2 and last != "NET"))
        if not capitals and last not in ("Com", "Org"):
            return False
    labels = [label.lower() for label in labels]
    last, first, second_last = labels[-1], labels[0], labels[-2]
    if last in _CODE_SUFFIXES or last == "arpa" or ".".join(labels) in _NOT_DOMAINS:
        return False
    if second_last in _FIELDS and last in _PROPERTIES:
        return False
    if len(labels) > 2 and (first in _PACKAGE_ROOTS or first in _CODE_ROOTS):
        return False
    if len(labels) < 4 and is_shared_suffix(".".join(labels)):
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


def reads_as_file(word: str) -> bool:
    """Whether a bare dotted ``word`` that is no domain is the name of a file. ``Node.js`` is a product."""
    stem, _, extension = word.rpartition(".")
    if extension.lower() not in FILE_EXTENSIONS:
        return False
    product = stem.lower() in _SCRIPT_LIBRARIES and (stem[0].isupper() or stem == "node")
    return not (extension == "js" and product)


def reads_as_version(before: str, number: str) -> bool:
    """Whether the text just ``before`` a dotted ``number`` says that it is a version: ``version: ``, ``Chrome/``."""
    words = before.rstrip(" \t:=\"'(-/").rsplit(maxsplit=1)
    if not words:
        return False
    word = (words[0] if len(words) == 1 else words[1]).strip("\"'([{,;")
    if word.lower() in _ABBREVIATIONS:
        return True
    word = word.strip(".")
    if before.endswith("/") and before[-2:-1].isalpha():
        # Products are written "Chrome/120.0.0.0", protocols and results "tcp/203.0.113.3" and "HIER_DIRECT/203.0.113.4".
        product = word.rpartition("/")[2]
        if number.endswith(".0.0") or (product != product.lower() and product != product.upper()):
            return True
        return product.lower() in _VERSION_WORDS
    return word.lower() in _VERSION_WORDS or word.lower().endswith("version")
