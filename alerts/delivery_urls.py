"""The ledger of deliveries, and their sources."""

from django.urls import path

from alerts.views import deliveries

app_name = "deliveries"
urlpatterns = [
    path("", deliveries.delivery_list, name="list"),
    path("replay/", deliveries.replay_matching, name="replay-matching"),
    path("sources/", deliveries.source_list, name="sources"),
    path("<uuid:pk>/", deliveries.delivery, name="detail"),
    path("<uuid:pk>/replay/", deliveries.replay_one, name="replay"),
]
