"""REST paths of alerts, observables, rules, suppressions and deliveries."""

from django.urls import path

from alerts import api, api_deliveries, api_observables, api_rules, api_suppressions

urlpatterns = [
    path("alerts", api.AlertsView.as_view()),
    path("alerts/bulk", api.BulkView.as_view()),
    path("alerts/<str:pk>", api.AlertView.as_view()),
    path("alerts/<str:pk>/claim", api.ClaimView.as_view()),
    path("alerts/<str:pk>/assign", api.AssignView.as_view()),
    path("alerts/<str:pk>/resolve", api.ResolveView.as_view()),
    path("alerts/<str:pk>/reopen", api.ReopenView.as_view()),
    path("alerts/<str:pk>/show-again", api_suppressions.ShowAgainView.as_view()),
    path("alerts/<str:pk>/activities", api.AlertActivitiesView.as_view()),
    path("alerts/<str:pk>/comments", api.AlertCommentsView.as_view()),
    path("alerts/<str:pk>/comments/<str:comment_id>", api.AlertCommentView.as_view()),
    path("alerts/<str:pk>/observables", api_observables.AlertObservablesView.as_view()),
    path("observables", api_observables.ObservablesView.as_view()),
    path("observables/parse", api_observables.ParseView.as_view()),
    path("observables/<str:pk>", api_observables.ObservableView.as_view()),
    path("observables/<str:pk>/enrichments", api_observables.EnrichmentsView.as_view()),
    path("observables/<str:pk>/enrichments/<path:source>", api_observables.EnrichmentView.as_view()),
    path("rules", api_rules.RulesView.as_view()),
    path("suppressions", api_suppressions.SuppressionsView.as_view()),
    path("suppressions/preview", api_suppressions.SuppressionPreviewView.as_view()),
    path("suppressions/<str:pk>", api_suppressions.SuppressionView.as_view()),
    path("suppressions/<str:pk>/end", api_suppressions.SuppressionEndView.as_view()),
    path("deliveries", api_deliveries.DeliveriesView.as_view()),
    path("deliveries/replay", api_deliveries.ReplayMatchingView.as_view()),
    path("deliveries/<str:pk>", api_deliveries.DeliveryView.as_view()),
    path("deliveries/<str:pk>/replay", api_deliveries.ReplayView.as_view()),
    path("sources/health", api_deliveries.SourceHealthView.as_view()),
]
