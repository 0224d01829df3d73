"""Splunk: the webhook of an alert, and the notable events and findings of Enterprise Security, within it or bare.

https://help.splunk.com/en/splunk-enterprise/alert-and-respond/alerting-manual/10.0/configure-alert-actions/use-a-webhook-alert-action
https://help.splunk.com/en/splunk-enterprise-security-8/api-reference/8.1/splunk-enterprise-security-api-reference
https://docs.splunk.com/Documentation/ES/latest/User/Howurgencyisassigned
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from alerts.iocs import ObservableValue
from alerts.jsonwalk import fold
from alerts.sources.base import MAX_TAG, NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, is_address, observable, read, with_embedded_json
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="splunk",
    product="Splunk",
    signs=(
        sign("sid results_link result", 0.97),
        sign("sid search_name result", 0.95),
        sign("results_link result owner app", 0.95),
        sign("event_id rule_name rule_title security_domain", 0.95),
        sign("search_name security_domain urgency", 0.93),
        sign("search_name info_min_time info_max_time", 0.9),
        sign("search_name risk_object risk_object_type", 0.9),
        sign("result.rule_title result.security_domain", 0.9),
        sign("search_name results_link", 0.85),
    ),
    # Numbers are alert.severity of savedsearches.conf, which some searches copy into their rows.
    severities=Severities(
        {
            "informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL,
            1: INFORMATIONAL, 2: LOW, 3: MEDIUM, 4: HIGH, 5: CRITICAL,
        },
        top=6,
    ),
)  # fmt: skip


def _of_row(paths: str) -> str:
    """``paths`` of a row: within the webhook's ``result`` first, then bare."""
    return " ".join(f"result.{path} {path}" for path in paths.split())


_MAPPING = Mapping(
    title=_of_row("rule_title rule_name")
    + " search_name "
    + _of_row("savedsearch_name signature name title source"),
    description=_of_row("rule_description description risk_message message savedsearch_description"),
    severity=_of_row("urgency severity alert_severity alert.severity priority"),
    event_at=_of_row(
        "_time event_time orig_time lastTime firstTime trigger_time info_search_time info_max_time"
    ),
    source_ip=_of_row("src_ip src source_ip orig_src src_ipv6"),
    dest_ip=_of_row("dest_ip dest dst_ip dst dest_ipv6"),
    username=_of_row("user src_user user_id user_name username dest_user"),
    rule_name=_of_row("rule_name search_name savedsearch_name"),
    rule_id=_of_row("detection_id"),
    vendor_url="results_link",
    partner=_of_row("partner customer tenant"),
    process=_of_row("process_name parent_process_name"),
    command_line=_of_row("process parent_process process_command_line CommandLine"),
    filename=_of_row("file_name"),
)
_TECHNIQUES = _of_row(
    "annotations.mitre_attack annotations.mitre_attack.mitre_technique_id annotations_mitre_attack mitre_attack "
    "mitre_technique_id mitre_technique rule_attack_tactic_technique"
).split()
_HOSTS = _of_row(
    "dest_nt_host dest_host dest_dns dest src_nt_host src_host src_dns src dvc orig_host"
).split()
_HOST_FIELDS = frozenset(map(fold, (*_HOSTS, *_of_row("risk_object entity").split())))
_NO_EVIDENCE = (
    "sid", "owner", "app", "search_name", "results_link",
    *_of_row(
        "annotations annotations_all drilldown_search drilldown_name drilldown_searches drilldown_earliest "
        "drilldown_latest drilldown_earliest_offset drilldown_latest_offset investigation_profiles next_steps "
        "recommended_actions extract_assets extract_identities contributing_events_search indexer_guid splunk_server "
        "splunk_server_group _bkt _cd _si orig_sid orig_source source sourcetype eventtype tag search_name "
        "rule_id event_id event_hash rule_name owner owner_realname reviewer info_min_time info_max_time "
        "info_search_time nes_fields analyticstories savedsearch_description"
    ).split(),
)  # fmt: skip
# Fields that often have several values, one per line where the sender joined them.
_MULTIPLE = {
    "src", "src_ip", "dest", "dest_ip", "dvc", "host", "user", "src_user", "dest_user", "tag", "eventtype", "orig_source",
    "source", "risk_object", "threat_object", "signature", "url", "domain", "query", "file_name", "file_hash",
    "process_name", "mitre_attack", "mitre_technique_id", "analyticstories", "urgency", "severity", "security_domain",
    "orig_host", "src_host", "dest_host",
}  # fmt: skip
_NTH_ROW = re.compile(r"\| ?head ([0-9]{1,9}) ?\| ?tail 1\b")
_OF_MODEL = frozenset({"src", "src_ip", "dest", "dest_ip", "user", "src_user", "dvc", "signature"})
_TOKEN = re.compile(r"\$(?:result\.)?([A-Za-z0-9_.]{1,60})\$")
# The first digits of ES's dispositions: 1 true positive, 2 benign positive, 3 and 4 false positive.
_DISPOSITIONS = {"true positive": "malicious", "benign positive": "benign", "false positive": "benign"}
_DISPOSITION_IDS = {"1": "malicious", "2": "benign", "3": "benign", "4": "benign"}
_OVER = frozenset({"closed", "resolved"})


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A triggered alert of Splunk's with its first row, or a notable event or finding."""
    payload, row = _plain(payload)
    reader = Reader(payload)
    notable = "security_domain" in row or "@@" in str(row.get("event_id"))[:500]
    number = _number(payload, row)
    host, found = _host(reader, row, notable)
    user = row.get("risk_object") if row.get("risk_object_type") == "user" else None
    techniques = techniques_in(value for value in reader.every(*_TECHNIQUES) if type(value) is str)
    tags = reader.strings("tags", tuple(_of_row("security_domain tag analyticstories").split()), MAX_TAG, 20)
    title = _filled(reader.whole_text(_MAPPING.paths["title"]), row) or _nameless(reader)
    search = reader.whole_text(("result.search_name", "search_name"))
    link = reader.raw("results_link")
    ignore(reader, *_NO_EVIDENCE, *(("result.host", "host") if notable else ()))
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=number,
        title=title,
        description=_filled(reader.whole_text(_MAPPING.paths["description"]), row),
        hostname=host,
        username=reader.whole_text(_MAPPING.paths["username"]) or user,
        rule_id=reader.whole_text(_MAPPING.paths["rule_id"])
        or (search if search != reader.whole_text(_MAPPING.paths["rule_name"]) else None),
        techniques=techniques,
        tags=tags,
        vendor_url=link,
        observables=found,
        determination=_verdict(row),
        resolved=notable and _is_over(row),
    )


def _plain(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``payload`` with several values as lists, and its row."""
    inner = payload.get("result")
    if type(inner) is list and inner:
        inner = inner[0]
    if type(inner) is not dict:
        row = _row(payload)
        return row, row
    row = _row(inner)
    return {**payload, "result": row}, row


def _row(row: dict[str, Any]) -> dict[str, Any]:
    row = {
        key: _values(value) if key in _MULTIPLE or key.startswith("annotations.") else value
        for key, value in row.items()
        if not key.startswith("__mv_")
    }
    for key in list(row):
        model, dot, name = key.partition(".")  # IDS_Attacks.src: a field with its data model
        if dot and name in _OF_MODEL and model != "annotations":
            row.setdefault(name, row[key])
    return with_embedded_json(row, "annotations")


def _values(value: Any) -> Any:
    if type(value) is str and "\n" in value[:100_000]:
        return [line.strip() for line in value[:100_000].splitlines() if line.strip()][:500]
    return value


def _number(payload: dict[str, Any], row: dict[str, Any]) -> str | None:
    """A notable's id, not the number of an event of Windows'; else that of the search run, which a webhook has once."""
    for value in (row.get("event_id"), row.get("finding_id"), row.get("notable_id"), row.get("rule_id")):
        if type(value) is str and ("@@" in value or (len(value) >= 32 and not value.isdigit())):
            return value.strip()
    sid, rid = payload.get("sid"), row.get("orig_rid")
    if type(sid) is not str or not sid.strip():
        sid = row.get("orig_sid")
        if type(sid) is not str or not sid.strip():
            return None
        return f"{sid.strip()}:{rid}" if type(rid) is str else sid.strip()
    # An alert "for each result" comes once per row, with one sid; the link leads to "… | head 3 | tail 1".
    link = payload.get("results_link")
    nth = _NTH_ROW.search(unquote_plus(link[:3000])) if type(link) is str else None
    return f"{sid.strip()}:{nth[1]}" if nth else sid.strip()


def _host(
    reader: Reader, row: dict[str, Any], notable: bool
) -> tuple[str | None, tuple[ObservableValue, ...]]:
    """The machine it is about, and all named ones: ``src`` and ``dest`` hold names as often as addresses."""
    names: dict[str, str] = {}
    for path in _HOSTS:
        for value in reader.every(path)[:50]:
            if type(value) is str and (text := reader.as_text(path, value)) and not is_address(text):
                names.setdefault(text, path)
    if row.get("risk_object_type") == "system" or row.get("entity_type") in ("system", "asset"):
        for key in ("risk_object", "entity"):
            text = reader.as_text(key, row.get(key))
            if text and not is_address(text):
                names.setdefault(text, key)
    made = [observable("hostname", name, path) for name, path in names.items()]
    found = tuple(one for one in made if one is not None)
    hosts = [name for name, one in zip(names, made, strict=True) if one is not None]
    # What is a machine's name here is not to be read as a domain as well.
    leaves = [
        leaf for leaf in reader.walk.leaves if leaf.value not in hosts or leaf.folded not in _HOST_FIELDS
    ]
    reader.walk = reader.walk._replace(leaves=leaves)
    # A notable's own host is the search head.
    return next(iter(hosts), None if notable else reader.whole_text(("result.host", "host"))), found


def _filled(text: str | None, row: dict[str, Any]) -> str | None:
    """``text`` with the fields it names, as in ``Logon of $user$``, from the row."""
    if text is None or "$" not in text:
        return text

    def value(token: re.Match[str]) -> str:
        found = row.get(token[1])
        found = found[0] if type(found) is list and found else found
        return found[:200] if type(found) is str and found else token[0]

    return _TOKEN.sub(value, text[:20_000])


def _nameless(reader: Reader) -> str:
    app = reader.whole_text(("app",))
    return f"Splunk alert of an unsaved search{f' (app {app})' if app else ''}"


def _verdict(row: dict[str, Any]) -> str | None:
    label, number = row.get("disposition_label"), row.get("disposition")
    if type(label) is str:
        start = label.strip().lower().partition(" - ")[0]
        if start in _DISPOSITIONS:
            return _DISPOSITIONS[start]
    return _DISPOSITION_IDS.get(number.removeprefix("disposition:").strip()) if type(number) is str else None


def _is_over(row: dict[str, Any]) -> bool:
    words = [row.get(key) for key in ("status_label", "status_group")]
    return any(type(word) is str and word.strip().lower() in _OVER for word in words) or (
        type(words[0]) is not str and row.get("status") in ("4", "5", 4, 5)
    )
