"""Paths for load balancers, supervisors and monitoring."""

from django.urls import path

from opensoar import ops, ops_metrics

urlpatterns = [
    path("livez", ops.live, name="livez"),
    path("readyz", ops.ready, name="readyz"),
    path("metrics", ops_metrics.MetricsView.as_view(), name="metrics"),
]
