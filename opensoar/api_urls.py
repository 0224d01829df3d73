"""Every path of the REST API."""

from django.urls import include, path

from opensoar import ops

urlpatterns = [
    path("", ops.RootView.as_view(), name="api-root"),
    path("health", ops.HealthView.as_view(), name="api-health"),
    path("", include("alerts.webhook_urls")),
    path("", include("opensoar.accounts.api_urls")),
    path("", include("playbooks_engine.api_urls")),
]
