"""Playbooks and their versions; sequences, runs and the journal of calls; workers; secrets, connectors and their polls."""

from playbooks_engine.models.configuration import Connector, Secret
from playbooks_engine.models.playbooks import (
    CronFiring,
    Playbook,
    PlaybookFile,
    PlaybookVersion,
    Priority,
    RegistryGeneration,
    WorkerBeat,
)
from playbooks_engine.models.polling import PollState
from playbooks_engine.models.runs import (
    FINAL_STATES,
    LIVE_STATES,
    ActionAttempt,
    ActionResult,
    Approval,
    CallOutput,
    LaneTicket,
    PlaybookRun,
    RunLog,
    Sequence,
)

__all__ = [
    "FINAL_STATES",
    "LIVE_STATES",
    "ActionAttempt",
    "ActionResult",
    "Approval",
    "CallOutput",
    "Connector",
    "CronFiring",
    "LaneTicket",
    "Playbook",
    "PlaybookFile",
    "PlaybookRun",
    "PlaybookVersion",
    "PollState",
    "Priority",
    "RegistryGeneration",
    "RunLog",
    "Secret",
    "Sequence",
    "WorkerBeat",
]
