"""REST paths of playbooks and runs."""

from django.urls import path

from playbooks_engine import api

urlpatterns = [
    path("playbooks", api.PlaybooksView.as_view()),
    path("playbooks/reload", api.ReloadView.as_view()),
    path("playbooks/<str:pk>", api.PlaybookView.as_view()),
    path("playbooks/<str:pk>/run", api.RunPlaybookView.as_view()),
    path("runs", api.RunsView.as_view()),
    path("runs/<str:pk>", api.RunView.as_view()),
    path("runs/<str:pk>/decide", api.DecideView.as_view()),
    path("runs/<str:pk>/cancel", api.CancelView.as_view()),
    path("runs/<str:pk>/retry", api.RetryView.as_view()),
    path("runs/<str:pk>/logs", api.RunLogsView.as_view()),
    path("approvals", api.ApprovalsView.as_view()),
    path("approvals/<str:pk>/approve", api.ApproveView.as_view()),
    path("approvals/<str:pk>/deny", api.DenyView.as_view()),
    path("alerts/<str:pk>/runs", api.AlertRunsView.as_view()),
    path("incidents/<str:pk>/runs", api.IncidentRunsView.as_view()),
]
