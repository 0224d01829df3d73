"""REST paths of incidents."""

from django.urls import path

from incidents import api

urlpatterns = [
    path("alerts/<str:pk>/incidents", api.AlertIncidentsView.as_view()),
    path("incidents", api.IncidentsView.as_view()),
    path("incidents/suggestions", api.SuggestionsView.as_view()),
    path("incidents/<str:pk>", api.IncidentView.as_view()),
    path("incidents/<str:pk>/assign", api.AssignView.as_view()),
    path("incidents/<str:pk>/close", api.CloseView.as_view()),
    path("incidents/<str:pk>/reopen", api.ReopenView.as_view()),
    path("incidents/<str:pk>/alerts", api.IncidentAlertsView.as_view()),
    path("incidents/<str:pk>/alerts/<str:alert_id>", api.IncidentAlertView.as_view()),
    path("incidents/<str:pk>/activities", api.IncidentActivitiesView.as_view()),
    path("incidents/<str:pk>/comments", api.IncidentCommentsView.as_view()),
    path("incidents/<str:pk>/handoffs", api.HandoffsView.as_view()),
    path("handoffs/<str:pk>/acknowledge", api.AcknowledgeView.as_view()),
    path("suggestions/<str:pk>/accept", api.AcceptView.as_view()),
    path("suggestions/<str:pk>/dismiss", api.DismissView.as_view()),
]
