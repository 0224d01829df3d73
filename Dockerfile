# One image; web and worker are two commands of it (compose.yaml). Built from the same hashed lock as `make run`.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv .venv
COPY requirements/base.txt requirements/base.txt
RUN .venv/bin/pip install --require-hashes --requirement requirements/base.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent opensoar \
    && install -d -o opensoar -g opensoar -m 0750 /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY . .
ENV PATH=/app/.venv/bin:$PATH \
    DJANGO_SETTINGS_MODULE=opensoar.settings \
    PYTHONUNBUFFERED=1 \
    OPENSOAR_DATA_DIR=/data \
    OPENSOAR_STATIC_ROOT=/app/staticfiles \
    OPENSOAR_PORT=8000 \
    OPENSOAR_WEB_PROCESSES=2 \
    OPENSOAR_WEB_THREADS=64
# `opensoar` on the package index is another project: what runs must be what was copied.
RUN python manage.py collectstatic --noinput --verbosity 0 \
    && python -c "import opensoar; assert opensoar.__file__ == '/app/opensoar/__init__.py', opensoar.__file__"
USER opensoar
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "opensoar.supervisor.healthcheck"]
CMD ["deploy/web.sh"]
