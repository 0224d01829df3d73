"""The frame's own addresses."""

from __future__ import annotations

from django.urls import path

from opensoar.web import views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme/", views.set_theme, name="theme"),
]
