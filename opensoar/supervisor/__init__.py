"""The whole product as one supervised tree of processes, started by ``manage.py up``. Imports no Django:
what watches must be small, quick to start and hard to break."""
