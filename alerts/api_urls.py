"""REST paths of alerts."""

from django.urls import path

from alerts import api

urlpatterns = [
    path("alerts", api.AlertsView.as_view()),
    path("alerts/bulk", api.BulkView.as_view()),
    path("alerts/<str:pk>", api.AlertView.as_view()),
    path("alerts/<str:pk>/claim", api.ClaimView.as_view()),
    path("alerts/<str:pk>/assign", api.AssignView.as_view()),
    path("alerts/<str:pk>/resolve", api.ResolveView.as_view()),
    path("alerts/<str:pk>/reopen", api.ReopenView.as_view()),
    path("alerts/<str:pk>/activities", api.AlertActivitiesView.as_view()),
    path("alerts/<str:pk>/comments", api.AlertCommentsView.as_view()),
]
