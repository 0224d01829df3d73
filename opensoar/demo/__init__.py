"""The demo: a week of one organisation's security desk, told through the real ingest, services and engine.

``manage.py demo`` and ``make run DEMO=1`` fill an empty installation with it. The week ends minutes before now and is
the same every time; only ids differ. See ``load.py`` for how it is told.
"""
