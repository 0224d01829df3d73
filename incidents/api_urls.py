"""REST paths of incidents."""

from django.urls import path

from incidents import api, api_suggestions, api_timeline

urlpatterns = [
    path("alerts/<str:pk>/incidents", api.AlertIncidentsView.as_view()),
    path("alerts/<str:pk>/suggested-incidents", api_suggestions.BelongingsView.as_view()),
    path("incidents", api.IncidentsView.as_view()),
    path("incidents/suggestions", api_suggestions.SuggestionsView.as_view()),
    path("incidents/<str:pk>", api.IncidentView.as_view()),
    path("incidents/<str:pk>/assign", api.AssignView.as_view()),
    path("incidents/<str:pk>/close", api.CloseView.as_view()),
    path("incidents/<str:pk>/reopen", api.ReopenView.as_view()),
    path("incidents/<str:pk>/alerts", api.IncidentAlertsView.as_view()),
    path("incidents/<str:pk>/alerts/<str:alert_id>", api.IncidentAlertView.as_view()),
    path("incidents/<str:pk>/observables", api_timeline.IncidentObservablesView.as_view()),
    path("incidents/<str:pk>/activities", api_timeline.IncidentActivitiesView.as_view()),
    path("incidents/<str:pk>/timeline", api_timeline.IncidentTimelineView.as_view()),
    path("incidents/<str:pk>/comments", api_timeline.IncidentCommentsView.as_view()),
    path("incidents/<str:pk>/comments/<str:comment_id>", api_timeline.IncidentCommentView.as_view()),
    path("incidents/<str:pk>/handoffs", api_timeline.HandoffsView.as_view()),
    path("handoffs/<str:pk>/acknowledge", api_timeline.AcknowledgeView.as_view()),
    path("suggestions/exclusions", api_suggestions.ExclusionsView.as_view()),
    path("suggestions/exclusions/<str:pk>", api_suggestions.ExclusionView.as_view()),
    path("suggestions/<str:pk>/accept", api_suggestions.AcceptView.as_view()),
    path("suggestions/<str:pk>/dismiss", api_suggestions.DismissView.as_view()),
]
