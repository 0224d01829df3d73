"""Pages of runs."""

from django.urls import path

from playbooks_engine import views

app_name = "runs"
urlpatterns = [
    path("", views.run_list, name="list"),
    path("new/", views.start, name="start"),
    path("panel/", views.panel, name="panel"),
    path("<uuid:pk>/", views.run_detail, name="detail"),
    path("<uuid:pk>/live/", views.run_live, name="live"),
    path("<uuid:pk>/decide/", views.decide, name="decide"),
    path("<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("<uuid:pk>/retry/", views.retry, name="retry"),
    path("approvals/<uuid:pk>/", views.approve, name="approve"),
]
