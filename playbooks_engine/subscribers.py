"""New alerts become sequences and runs, inside the transaction that stores them."""

from __future__ import annotations

from alerts.events import CreatedAlert, alert_created
from opensoar import clock
from playbooks_engine import bell
from playbooks_engine.models import PlaybookRun, Sequence
from playbooks_engine.triggers import triggers


@alert_created.in_transaction
def queue_runs(batch: list[CreatedAlert]) -> None:
    """One sequence per alert that triggers anything, one run per matching playbook, in ascending order."""
    candidates = triggers()
    if not candidates:
        return
    now = clock.now()
    sequences: list[Sequence] = []
    runs: list[PlaybookRun] = []
    for alert in batch:
        matching = [t for t in candidates if t.matches(alert.source, alert.partner_id, alert.subject)]
        if not matching:
            continue
        sequence = Sequence(
            partner_id=alert.partner_id,
            alert_id=alert.alert_id,
            event="alert_created",
            correlation_id=alert.correlation_id,
            priority=min(trigger.priority for trigger in matching),
            total=len(matching),
            created_at=now,
        )
        sequences.append(sequence)
        for position, trigger in enumerate(matching, start=1):
            run = PlaybookRun(
                sequence=sequence, position=position, playbook_id=trigger.playbook_id, created_at=now
            )
            runs.append(run)
            alert.playbooks.append(trigger.name)
    Sequence.objects.bulk_create(sequences)
    PlaybookRun.objects.bulk_create(runs)


@alert_created.after_commit
def ring(batch: list[CreatedAlert]) -> None:
    """Workers need not wait for their sweep."""
    if any(alert.playbooks for alert in batch):
        bell.ring()
