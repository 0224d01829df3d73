"""Falco: alerts of its HTTP output, and the same as falcosidekick's webhook passes them on.

https://falco.org/docs/concepts/outputs/channels/
https://falco.org/docs/concepts/rules/basic-elements/#priority
https://falco.org/docs/reference/rules/supported-fields/
https://github.com/falcosecurity/falcosidekick/blob/master/docs/outputs/webhook.md
"""

from __future__ import annotations

import re
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, ignore, observable, read, with_embedded_json
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="falco",
    product="Falco",
    signs=(
        sign("output_fields priority rule output", 0.96),
        sign("output_fields priority rule", 0.94),
        sign("priority rule output time", 0.8),
    ),
    severities=Severities(
        {
            "emergency": CRITICAL,
            "alert": CRITICAL,
            "critical": CRITICAL,
            "error": HIGH,
            "warning": MEDIUM,
            "notice": LOW,
            "informational": INFORMATIONAL,
            "info": INFORMATIONAL,
            "debug": INFORMATIONAL,
        }
    ),
)


def _of_fields(paths: str) -> str:
    return " ".join(f"output_fields.{path}" for path in paths.split())


_MAPPING = Mapping(
    title="rule",
    description="output",
    severity="priority",
    event_at="time " + _of_fields("evt.time evt.time.iso8601 evt.rawtime"),
    source_ip=_of_fields(
        "fd.cip fd.lip ct.srcip okta.client.ip ka.sourceips github.client.ip gcp.callerIP evt.arg.clientip"
    ),
    dest_ip=_of_fields("fd.sip fd.rip"),
    hostname="hostname " + _of_fields("evt.hostname k8s.node.name ka.node k8s.pod.name container.name"),
    username=_of_fields(
        "user.name user.loginname ka.user.name ct.user okta.actor.alternateID okta.actor.name github.user gcp.user"
    ),
    rule_name="rule",
    tags="tags",
    techniques="tags",
    process=_of_fields("proc.name proc.pname"),
    command_line=_of_fields("proc.cmdline proc.pcmdline"),
)
_NO_EVIDENCE = (
    "output", "source", "rule",
    *_of_fields(
        "container k8s ka.target ka.uri ka.req.pod.containers.image ka.resp evt.type evt.arg proc.tty "
        "user.uid user.loginuid group ct.request ct.response ct.useragent"
    ).split(),
)  # fmt: skip
# 10.0.0.5:51234->203.0.113.7:443, [2001:db8::1]:5->[2001:db8::2]:443
_TUPLE = re.compile(r"\[?([0-9A-Fa-f.:]{3,45}?)\]?:[0-9]{1,5}->\[?([0-9A-Fa-f.:]{3,45}?)\]?:[0-9]{1,5}")
_PATHS = ("fd.name", "proc.exepath", "proc.pexepath", "fs.path.name", "fs.path.target")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Falco's."""
    payload, fields = _known(payload)
    reader = Reader(payload)
    source, dest = _ends(reader, fields)
    own = tuple(_observables(fields))
    # The sentence repeats the fields; without fields it is all there is.
    ignore(reader, *(_NO_EVIDENCE if fields else _NO_EVIDENCE[1:]))
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_number(reader),
        title=None if reader.has("rule") else reader.whole_text(("output",)) or "Falco alert",
        source_ip=source,
        dest_ip=dest,
        observables=own,
    )


def _known(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``payload`` and its fields without those that Falco could not fill, which it writes as ``<NA>``."""
    payload = with_embedded_json(payload, "output_fields")
    fields = payload.get("output_fields")
    if type(fields) is not dict:
        return payload, {}
    fields = {
        key: value
        for key, value in fields.items()
        if value is not None and (type(value) is not str or value.strip().upper() not in ("<NA>", "", "N/A"))
    }
    return {**payload, "output_fields": fields}, fields


def _number(reader: Reader) -> str | None:
    """falcosidekick's uuid; Falco itself numbers nothing: rule, moment and sentence tell alerts apart."""
    number = reader.whole_text(("uuid",))
    if number:
        return number
    parts = [reader.whole_text((path,)) for path in ("rule", "time", "hostname", "output")]
    return ":".join(part or "" for part in parts) if parts[0] and parts[1] else None


def _ends(reader: Reader, fields: dict[str, Any]) -> tuple[str | None, str | None]:
    """Client and server; of a connection that is only named, its left and its right end."""
    paths = _MAPPING.paths
    source, dest = (
        reader.address("source_ip", paths["source_ip"]),
        reader.address("dest_ip", paths["dest_ip"]),
    )
    name = fields.get("fd.name")
    if source is None and dest is None and type(name) is str:
        ends = _TUPLE.fullmatch(name.strip()[:200])
        if ends:
            left, right = Reader({"ip": ends[1]}), Reader({"ip": ends[2]})
            return left.address("source_ip", ("ip",)), right.address("dest_ip", ("ip",))
    return source, dest


def _observables(fields: dict[str, Any]) -> list[ObservableValue]:
    found = []
    for key in _PATHS:
        value = fields.get(key)
        if type(value) is str and value.startswith("/") and len(value) > 1:
            found.append(observable("path", value, f"output_fields.{key}"))
    return [one for one in found if one is not None]
