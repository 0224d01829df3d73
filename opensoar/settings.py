"""All settings, driven by the environment: core, apps, database, broker, security, product."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.utils.csp import CSP

from opensoar import __version__
from opensoar.env import (
    EnvError,
    adopt_running,
    env_bool,
    env_float,
    env_int,
    env_list,
    env_networks,
    env_secret,
    env_str,
)

BASE_DIR = Path(__file__).resolve().parent.parent

# --- core -----------------------------------------------------------------------------------------------------
VERSION = __version__
DEBUG = env_bool("OPENSOAR_DEBUG")
DATA_DIR = Path(env_str("OPENSOAR_DATA_DIR", str(BASE_DIR / "var"))).resolve()
adopt_running(DATA_DIR)
PORT = env_int("OPENSOAR_PORT", 8000, minimum=1, maximum=65535)
ALLOWED_HOSTS = env_list("OPENSOAR_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
# Without a key nothing is signed with a known one: opensoar.checks refuses to serve, plain commands still work.
SECRET_KEY = env_secret("OPENSOAR_SECRET_KEY") or "insecure-" + os.urandom(32).hex()
SECRET_KEY_IS_SET = bool(env_secret("OPENSOAR_SECRET_KEY"))
SECRETS_KEY = env_secret("OPENSOAR_SECRETS_KEY")  # encrypts connector secrets; never in the database
ROOT_URLCONF = "opensoar.urls"
WSGI_APPLICATION = "opensoar.wsgi.application"
SILENCED_SYSTEM_CHECKS = [
    "auth.W004"
]  # usernames are unique whatever their case, by an index the check does not know
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = env_str("OPENSOAR_TIME_ZONE", "UTC")
USE_TZ = True
USE_I18N = True
LOCALE_PATHS = [BASE_DIR / "locale"]

# --- apps -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django_dramatiq",  # first: it sets the broker before any module can declare an actor (opensoar.checks)
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "pgtrigger",
    "allauth",
    "allauth.account",
    "opensoar",
    "opensoar.accounts",
    "alerts",
    "incidents",
    "playbooks_engine",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # before those that may answer by themselves
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "opensoar.web.middleware.GZipPagesMiddleware",
    "opensoar.web.middleware.PrivateMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "opensoar.web.middleware.HtmxVaryMiddleware",
    "opensoar.web.middleware.HtmxLoginMiddleware",
    "opensoar.web.middleware.HtmxMessagesMiddleware",
    "opensoar.web.middleware.DatabaseDownMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": [
                "opensoar.web.templatetags",
                "django.templatetags.i18n",
                "django.templatetags.static",
            ],
        },
    }
]

# --- database -------------------------------------------------------------------------------------------------
# Migrations run as the owner of the tables; everything else as the application's role.
OWNER_COMMANDS = {"migrate", "sqlmigrate", "createcachetable", "pgtrigger"}


def database_from_url(url: str, *, pool: int) -> dict[str, object]:
    """Django's DATABASES entry for a ``postgresql://`` URL; ``?host=`` names a socket directory."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise EnvError("DATABASE_URL: use postgresql://user:password@host:port/name")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    options: dict[str, object] = {k: unquote(v) for k, v in query.items() if k not in {"host", "port"}}
    if pool:
        # Who is stopped in the middle of a transaction must not hold what it has locked for longer than its lease.
        given = options.get("options", "")
        options["options"] = (
            f"{given} -c idle_in_transaction_session_timeout={int(max(LEASE_SECONDS, 2.0) * 1000)}"
        )
        options["pool"] = {"min_size": 0, "max_size": pool, "timeout": 10, "max_idle": 60}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.get("host", "")) or parts.hostname or "",
        "PORT": query.get("port") or str(parts.port or ""),
        "OPTIONS": options,
        "CONN_HEALTH_CHECKS": True,
    }


LEASE_SECONDS = env_float("OPENSOAR_LEASE_SECONDS", 15.0, minimum=0.5, maximum=600)
DATABASE_URL = env_secret("DATABASE_URL", "postgresql://opensoar_app@localhost/opensoar")
DATABASE_OWNER_URL = env_secret("DATABASE_OWNER_URL") or DATABASE_URL
DB_POOL = env_int("OPENSOAR_DB_POOL", 12, minimum=0, maximum=200)
AS_OWNER = len(sys.argv) > 1 and sys.argv[1] in OWNER_COMMANDS
DATABASES = {
    "default": database_from_url(
        DATABASE_OWNER_URL if AS_OWNER else DATABASE_URL, pool=0 if AS_OWNER else DB_POOL
    )
}

# --- broker and cache -----------------------------------------------------------------------------------------
REDIS_URL = env_secret("REDIS_URL", "redis://localhost:6379/0")
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {
        "url": REDIS_URL,
        "namespace": "opensoar",
        "heartbeat_timeout": 30_000,
        "maintenance_chance": 1_000_000,
        "socket_timeout": 5,
        "socket_connect_timeout": 0.5,
    },
    # No Retries, AgeLimit, Pipelines or Results: attempts, timers and dead letters live in PostgreSQL.
    "MIDDLEWARE": [
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "playbooks_engine.middleware.EngineMiddleware",
    ],
}
DRAMATIQ_AUTODISCOVER_TASKS = True
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- people and sessions --------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "opensoar.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 12 * 3600
LOCAL_REGISTRATION = env_bool("OPENSOAR_LOCAL_REGISTRATION")

# --- security -------------------------------------------------------------------------------------------------
# TLS ends in front of us. Behind it (OPENSOAR_TLS) cookies are Secure and HSTS is sent; a laptop on http works too.
TLS = env_bool("OPENSOAR_TLS")
TRUSTED_PROXIES = env_networks("OPENSOAR_TRUSTED_PROXIES")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TLS else None
SECURE_SSL_REDIRECT = TLS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TLS
SECURE_HSTS_PRELOAD = TLS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = env_list("OPENSOAR_TRUSTED_ORIGINS")
CSRF_FAILURE_VIEW = "opensoar.web.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],  # Tabler's stylesheet draws its arrows and ticks from data: URLs
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# --- static files ---------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("OPENSOAR_STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- API ------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "opensoar.api.authentication.TokenAuthentication",
        "opensoar.api.authentication.BrowserAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["opensoar.api.permissions.HasCapability"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["opensoar.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "opensoar.api.exceptions.handle",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpenSOAR",
    "DESCRIPTION": "Alerts in, ordered playbooks run, incidents are worked.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # what an edit may leave out, its own shape says
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "opensoar.api.schema.describe_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "SeverityEnum": "alerts.models.Severity",
        "AlertStatusEnum": "alerts.models.Alert.Status",
        "AlertDeterminationEnum": "alerts.models.Alert.Determination",
        "IncidentStatusEnum": "incidents.models.Incident.Status",
        "IncidentDeterminationEnum": "incidents.models.Incident.Determination",
        "RunStatusEnum": "playbooks_engine.models.PlaybookRun.State",
        "CallStatusEnum": "playbooks_engine.models.ActionResult.State",
        "DeliveryStateEnum": "alerts.models.Delivery.State",
        "EntityKindEnum": "incidents.models.EXCLUDABLE",
        "EntityEnum": "incidents.entities.ENTITIES",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- product --------------------------------------------------------------------------------------------------
PLAYBOOK_DIRS = env_list("PLAYBOOK_DIRS", [str(BASE_DIR / "playbooks")], separators="," + os.pathsep)
# Megabytes that a worker process may hold before it ends by itself (0: no limit); keep it below the kernel's.
WORKER_MEMORY_MB = env_int("OPENSOAR_WORKER_MEMORY_MB", 1500, minimum=0)
# Seconds that a playbook may block its worker's event loop before the worker ends by itself (0: for ever).
WORKER_BLOCK_SECONDS = env_int("OPENSOAR_WORKER_BLOCK_SECONDS", 60, minimum=0)
WORKER_RUNS = env_int("OPENSOAR_WORKER_RUNS", 1000, minimum=1, maximum=100_000)
DOCKER_URL = env_str("OPENSOAR_DOCKER_URL")
# Pollers: whether they may ask this machine itself, also without TLS; the proxy through which they ask the others.
PULL_LOOPBACK = env_bool("OPENSOAR_PULL_LOOPBACK")
PULL_PROXY = env_secret("OPENSOAR_PULL_PROXY")

# --- logging --------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "opensoar.logs.OneLineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("OPENSOAR_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
