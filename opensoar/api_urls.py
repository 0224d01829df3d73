"""Every path of the REST API."""

from django.contrib.auth.decorators import login_required
from django.urls import include, path

from opensoar import ops, ops_dashboard, ops_docs, ops_retention
from opensoar.api import schema  # noqa: F401  registers; here, since a worker should not load what serves the API

urlpatterns = [
    path("", ops.RootView.as_view(), name="api-root"),
    path("health", ops.HealthView.as_view(), name="api-health"),
    path("schema", ops_docs.SchemaView.as_view(), name="api-schema"),
    path("docs", login_required(ops_docs.DocsView.as_view()), name="api-docs"),
    path("dashboard/stats", ops_dashboard.DashboardView.as_view(), name="api-dashboard"),
    path("admin/retention/purge", ops_retention.PurgeView.as_view(), name="api-retention-purge"),
    path("", include("alerts.webhook_urls")),
    path("", include("opensoar.accounts.api_urls")),
    path("", include("alerts.api_urls")),
    path("", include("incidents.api_urls")),
    path("", include("playbooks_engine.api_urls")),
    path("", include("playbooks_engine.integration_urls")),
]
