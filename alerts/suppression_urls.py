"""Pages of suppressions."""

from django.urls import path

from alerts.views import suppressions

app_name = "suppressions"
urlpatterns = [
    path("", suppressions.suppression_list, name="list"),
    path("new/", suppressions.create, name="create"),
    path("<uuid:pk>/end/", suppressions.end, name="end"),
]
