"""What a Dramatiq worker process loads: Django, the broker and the actors. A composition root; nothing imports it."""

import gc

gc.disable()  # what is loaded here stays; see opensoar.wsgi

import django_dramatiq.setup  # noqa: E402, F401  sets the broker

import playbooks_engine.tasks  # noqa: E402, F401

gc.freeze()
gc.enable()
