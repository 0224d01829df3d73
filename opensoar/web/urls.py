"""The frame's own addresses."""

from __future__ import annotations

from django.urls import path

from opensoar.web import views
from opensoar.web.style import style

urlpatterns = [
    path("", views.home, name="home"),
    path("counts/", views.counts, name="counts"),
    path("theme/", views.set_theme, name="theme"),
    path("density/", views.set_density, name="density"),
    path("style/", style, name="style"),
]
