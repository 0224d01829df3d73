"""The queue and the alert page."""

from django.urls import path

from alerts import views

app_name = "alerts"
urlpatterns = [
    path("", views.alert_list, name="list"),
    path("<uuid:pk>/", views.detail, name="detail"),
    path("<uuid:pk>/claim/", views.claim, name="claim"),
    path("<uuid:pk>/assign/", views.assign, name="assign"),
    path("<uuid:pk>/resolve/", views.resolve, name="resolve"),
    path("<uuid:pk>/reopen/", views.reopen, name="reopen"),
    path("<uuid:pk>/severity/", views.severity, name="severity"),
    path("<uuid:pk>/comment/", views.comment, name="comment"),
    path("<uuid:pk>/observables/", views.observables, name="observables"),
]
