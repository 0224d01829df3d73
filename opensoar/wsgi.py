"""The WSGI entry point that granian serves."""

import gc
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from opensoar import deathwatch

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opensoar.settings")

deathwatch.install()  # granian imports this file in each process that serves
# What is loaded here stays: looking for garbage in it meanwhile would take a tenth of the start, and later again
# and again.
gc.disable()
django_application = get_wsgi_application()

from alerts import webhooks  # noqa: E402  needs the apps that the line above loads
from opensoar.web import live  # noqa: E402

_ = get_resolver().url_patterns  # now, not when the first requests wait for it
gc.freeze()
gc.enable()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Webhooks and polls by the short way, everything else by Django's: its middleware would cost ingest a quarter of
    its rate, and a poll most of its time."""
    path = environ["PATH_INFO"]
    if path.startswith(webhooks.PREFIX):
        return webhooks.application(environ, start_response)
    if path.endswith(live.SUFFIX):
        return live.application(environ, start_response, django_application)
    return django_application(environ, start_response)
