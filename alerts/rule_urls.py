"""The rules of the sources."""

from django.urls import path

from alerts.views import rules

app_name = "rules"
urlpatterns = [path("", rules.rule_list, name="list")]
