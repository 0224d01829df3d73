"""Every path of the REST API."""

from django.urls import include, path

from opensoar import ops
from opensoar.api import schema  # noqa: F401  registers; here, since a worker should not load what serves the API

urlpatterns = [
    path("", ops.RootView.as_view(), name="api-root"),
    path("health", ops.HealthView.as_view(), name="api-health"),
    path("", include("alerts.webhook_urls")),
    path("", include("opensoar.accounts.api_urls")),
    path("", include("alerts.api_urls")),
    path("", include("incidents.api_urls")),
    path("", include("playbooks_engine.api_urls")),
    path("", include("playbooks_engine.integration_urls")),
]
