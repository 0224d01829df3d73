"""What can be done to alerts and observables. Pages, API, playbook helpers and admin all call these."""

from alerts.services.bulk import bulk
from alerts.services.comments import comment_alert, edit_comment
from alerts.services.exclusions import allow_domains, delete_exclusion, save_exclusion
from alerts.services.observables import (
    add_enrichment,
    add_observables,
    create_observable,
    recognised,
    remove_enrichment,
    tag_observable,
    upsert_observables,
)
from alerts.services.sources import delete_source, save_source
from alerts.services.suppressions import create_suppression, end_suppression, show_alert_again
from alerts.services.triage import (
    archive_alert,
    assign_alert,
    claim_alert,
    reopen_alert,
    resolve_alert,
    update_alert,
)
from opensoar.edits import UNSET

__all__ = [
    "UNSET",
    "add_enrichment",
    "add_observables",
    "allow_domains",
    "archive_alert",
    "assign_alert",
    "bulk",
    "claim_alert",
    "comment_alert",
    "create_observable",
    "create_suppression",
    "delete_exclusion",
    "delete_source",
    "edit_comment",
    "end_suppression",
    "recognised",
    "remove_enrichment",
    "reopen_alert",
    "resolve_alert",
    "save_exclusion",
    "save_source",
    "show_alert_again",
    "tag_observable",
    "update_alert",
    "upsert_observables",
]
