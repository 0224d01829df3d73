"""The queue and the alert page."""

from django.urls import path

from alerts.views import bulk, pages, verbs

app_name = "alerts"
urlpatterns = [
    path("", pages.alert_list, name="list"),
    path("live/", pages.queue_live, name="queue-live"),
    path("bulk/claim/", bulk.claim, name="bulk-claim"),
    path("bulk/assign/", bulk.assign, name="bulk-assign"),
    path("bulk/resolve/", bulk.resolve, name="bulk-resolve"),
    path("bulk/severity/", bulk.severity, name="bulk-severity"),
    path("<uuid:pk>/", pages.detail, name="detail"),
    path("<uuid:pk>/live/", pages.live, name="live"),
    path("<uuid:pk>/deliveries/", pages.deliveries, name="deliveries"),
    path("<uuid:pk>/claim/", verbs.claim, name="claim"),
    path("<uuid:pk>/assign/", verbs.assign, name="assign"),
    path("<uuid:pk>/resolve/", verbs.resolve, name="resolve"),
    path("<uuid:pk>/reopen/", verbs.reopen, name="reopen"),
    path("<uuid:pk>/show-again/", verbs.show_again, name="show-again"),
    path("<uuid:pk>/edit/", verbs.edit, name="edit"),
    path("<uuid:pk>/comment/", verbs.comment, name="comment"),
    path("<uuid:pk>/observables/", verbs.observables, name="observables"),
]
