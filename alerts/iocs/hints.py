"""What a field's name says about its value.

Names are hints, never the only reason: a value must still look like what the name promises, and text under an unknown
name is read all the same. Names are folded (:func:`alerts.jsonwalk.fold`); the last two parts of a path decide, then
the last one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from alerts.iocs.values import resolve_type


class Hint(NamedTuple):
    """How to read one field."""

    type: str | None = None
    """Take the whole value as this type (or ``hash``) if it is one."""
    scan: bool = True
    """Then, or otherwise, read it as running text."""
    hashes: bool = True
    addresses: bool = True
    domains: bool = True


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Type → the names under which products give such a value. Singular and plural, with and without a parent.
_TYPED: dict[str, tuple[str, ...]] = {
    "ip": _words(
        "ip ips ipaddress ipaddresses ipv4 ipv6 ipsrc ipdst ipv4addr ipv6addr srcip sourceip src srcaddr saddr "
        "sourceaddress sourceipaddress dstip destip destinationip dst dest dstaddr daddr destinationaddress "
        "destinationipaddress clientip clientaddress remoteip remoteaddr remoteaddress serverip hostip localip "
        "externalip internalip publicip privateip attackerip targetip victimip callerip callerips ipaddressv4 "
        "ipaddressv6 natip agentip deviceip xforwardedfor source.address destination.address client.address "
        "server.address sourceips destinationips relatedips address.ip"
    ),
    "domain": _words(
        "domain domains domainname domainnames dnsdomain maliciousdomain question.name dnsquery queryname rrname "
        "registereddomain sni tlssni destinationdomain sourcedomain url.domain http.hostname http.host httphost "
        "tls.sni dns.rrname"
    ),
    "hostname": _words(
        "hostname hostnames host fqdn fqdns computer computername computerdnsname machine machinename devicename "
        "devicednsname devicehostname workstation workstationname endpointname assetname nodename servername dvchost "
        "dvchostname shost dhost srchost dsthost srchostname dsthostname sourcehost desthost sourcehostname "
        "destinationhostname destinationhost compromisedentity host.name host.hostname device.name agent.name "
        "agent.hostname endpoint.name machine.name asset.name computer.name related.hosts instance"
    ),
    "url": _words(
        "url urls uri link href requesturl fullurl downloadurl maliciousurl httpurl referrer httpreferrer url.full "
        "url.original request.url request.referrer"
    ),
    "email": _words(
        "email emails mail mailbox emailaddress emailaddresses senderemail sender senderaddress recipient recipients "
        "recipientemail recipientaddress mailfrom mailto emailsrc emaildst from.address to.address replyto useremail "
        "user.email smtpfrom smtpto"
    ),
    "hash": _words("hash hashes filehash filehashes checksum hashvalue file.hash process.hash related.hash"),
    "md5": _words("md5 md5hash filemd5 hash.md5"),
    "sha1": _words("sha1 sha1hash filesha1 hash.sha1"),
    "sha256": _words("sha256 sha256hash filesha256 hash.sha256"),
    "sha512": _words("sha512 sha512hash filesha512 hash.sha512"),
    "ssdeep": _words("ssdeep hash.ssdeep"),
    "filename": _words(
        "filename filenames attachment attachments attachmentname attachmentnames originalfilename file.name fname "
        "attachment.name"
    ),
    "path": _words(
        "filepath filepaths fullpath targetfilename file.path process.executable executablepath processpath imagepath "
        "parentimage imageloaded processimage folderpath"
    ),
    "registry_key": _words(
        "registrykey registrykeys regkey registrypath registry.key registry.path targetobject"
    ),
    "username": _words(
        "username usernames user useraccount account accountname login loginname samaccountname srcuser dstuser suser "
        "duser subjectusername targetusername sourceusername destinationusername userprincipalname upn user.name "
        "account.name usrname related.user"
    ),
    "mac": _words(
        "mac macs macaddress macaddresses srcmac dstmac smac dmac sourcemac destinationmac macaddr"
    ),
    "asn": _words("asn asns autonomoussystem as.number asnumber"),
    "cve": _words("cve cves cveid cveids vulnerability.id"),
    "mutex": _words("mutex mutexes mutexname mutant"),
    "user_agent": _words("useragent useragents httpuseragent requestclientapplication useragent.original"),
    "crypto_address": _words(
        "cryptoaddress bitcoinaddress btcaddress walletaddress wallet btc ethereumaddress"
    ),
}
# Types of which the whole value is the observable; reading on inside it would find pieces of it.
_WHOLE = frozenset(
    {"hostname", "username", "user_agent", "mutex", "ssdeep", "asn", "registry_key", "filename", "path"}
)

# Fields that hold no indicators: the vendor's console links, references of the rule, component names.
_NEVER = _words(
    "alerturl alertweburl incidentweburl incidenturl permalink resultslink externallink externalurl generatorurl "
    "weburl consolelink consoleurl falconhostlink htmlurl runbookurl dashboardurl panelurl silenceurl imageurl "
    "portalurl vendorurl documentationurl helpurl srcurl reference references messageid inreplyto dataset module "
    "provider namespace logger index channel eventsource eventtype eventname category kind schema class "
    "classname package apiversion logname license author authors falsepositives timezone timestamp contenttype "
    "mimetype encoding user.domain account.domain host.domain ntdomain userdomain accountdomain logondomain "
    "subjectdomainname targetdomainname container.image image.name image.repository imagename imagetag registryname ecs.version "
    "format ja3 ja3s ja3hash ja3.hash ja3s.hash jarm imphash pehash vhash authentihash upnsuffix"
)
_VERSION = _words("version versions build buildnumber firmware kernel oid osversion revision release")
# Identifiers are often 32 or 64 hexadecimal digits.
_IDENTIFIER_ENDS = _words("id ids uuid guid fingerprint etag token key cookie nonce signature arn arns")
_LABELS = frozenset(
    {"tags", "tag", "labels", "label", "groups", "categories", "technique", "techniques", "mitre"}
)
# The alert's copy of its rule: queries, guides and links, the same in every alert.
_RULE_TREES = ("kibana.alert.rule.", "signal.rule.", "rule.parameters.")
_RULE_FIELDS = ("name", "description")

_PLAIN = Hint()
NOTHING = Hint(scan=False)
"""For fields that hold no indicators."""
_BY_NAME: dict[str, Hint] = dict.fromkeys(_NEVER, NOTHING)
_BY_NAME.update({name: Hint(addresses=False, hashes=False) for name in _VERSION})
_BY_NAME.update({name: Hint(hashes=False, domains=False) for name in _LABELS})
for _type, _names in _TYPED.items():
    _BY_NAME.update({_name: Hint(type=_type, scan=_type not in _WHOLE) for _name in _names})


@lru_cache(maxsize=4096)
def hint_for(folded_path: str) -> Hint:
    """The hint for a folded path. Cached: the fields of a source repeat from alert to alert."""
    parts = folded_path.rsplit(".", 2)
    last = parts[-1]
    if last.startswith("="):
        return _stated(last[1:])
    found = _BY_NAME.get(".".join(parts[-2:])) or _BY_NAME.get(last)
    if folded_path.startswith(_RULE_TREES) and not last.endswith(_RULE_FIELDS):
        return NOTHING
    if found is not None:
        return found
    if last.endswith("version"):
        return _BY_NAME["version"]
    if last.endswith(_IDENTIFIER_ENDS):
        return Hint(hashes=False)
    return _PLAIN


def _stated(type: str) -> Hint:
    """The hint for a value whose sibling states its type: ``{"type": "fqdn", "value": …}``."""
    try:
        name = resolve_type(type)
    except ValueError:
        return _PLAIN
    # Too many lists of settings hold {"type": "file"} and {"type": "other"}.
    return _PLAIN if name in ("file", "other") else Hint(type=name, scan=name not in _WHOLE)
