"""Paths for load balancers and supervisors."""

from django.urls import path

from opensoar import ops

urlpatterns = [path("livez", ops.live, name="livez"), path("readyz", ops.ready, name="readyz")]
