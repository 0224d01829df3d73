"""Sweeps that one process at a time does, each from where the last one stopped."""

from __future__ import annotations

from django.utils import timezone

from alerts.models import SweepState


def taken(name: str) -> SweepState | None:
    """The state of the sweep ``name``, locked in the caller's transaction; None where it is not due, or another has it."""
    rows = SweepState.objects.select_for_update(skip_locked=True).filter(name=name)
    state = rows.first()
    if state is None and not SweepState.objects.filter(name=name).exists():
        SweepState.objects.bulk_create([SweepState(name=name)], ignore_conflicts=True)
        state = rows.first()
    return state if state is not None and state.due_at <= timezone.now() else None
