"""Pages of playbooks."""

from django.urls import path

from playbooks_engine import views

app_name = "playbooks"
urlpatterns = [
    path("", views.playbook_list, name="list"),
    path("reload/", views.reload, name="reload"),
    path("<uuid:pk>/", views.playbook_detail, name="detail"),
    path("<uuid:pk>/enable/", views.switch, {"enabled": True}, name="enable"),
    path("<uuid:pk>/disable/", views.switch, {"enabled": False}, name="disable"),
]
