"""What can be done to incidents. Pages, API, playbook helpers and admin all call these."""

from incidents.services.collaboration import acknowledge_handoff, comment_incident, edit_comment, hand_off
from incidents.services.editing import assign_incident, update_incident
from incidents.services.exclusions import delete_exclusion, save_exclusion
from incidents.services.lifecycle import close_incident, close_unassessed, move_incident, reopen_incident
from incidents.services.links import add_observables, link_alert, link_alerts, unlink_alert
from incidents.services.opening import open_incident
from opensoar.edits import UNSET

__all__ = [
    "UNSET",
    "acknowledge_handoff",
    "add_observables",
    "assign_incident",
    "close_incident",
    "close_unassessed",
    "comment_incident",
    "delete_exclusion",
    "edit_comment",
    "hand_off",
    "link_alert",
    "link_alerts",
    "move_incident",
    "open_incident",
    "reopen_incident",
    "save_exclusion",
    "unlink_alert",
    "update_incident",
]
