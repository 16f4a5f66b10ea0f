"""Settings of the Django project, read from the environment; `.env.example` lists every name with its default."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import environ

from restaurant_wa import logging as json_logging
from restaurant_wa import reporting

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
if not env.bool("RESTAURANT_WA_IGNORE_DOTENV", default=False):
    environ.Env.read_env(BASE_DIR / ".env")

# --- Django -----------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or "insecure-development-key"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ROOT_URLCONF = "restaurant_wa.urls"
WSGI_APPLICATION = "restaurant_wa.wsgi.application"
INSTALLED_APPS = [
    "sessions_app",  # before Unfold: its templates extend Unfold's of the same name
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # the admin is loaded with the addresses: workers have none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    # Not Ninja: only its documentation page's files are needed, and it would bring pydantic into every worker.
]
_NINJA = Path(find_spec("ninja").origin).parent  # type: ignore[union-attr, arg-type]
MIDDLEWARE = [
    "restaurant_wa.middleware.ClientAddressMiddleware",
    "restaurant_wa.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "sessions_app.api.middleware.ApiBoundaryMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [_NINJA / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
STATIC_URL = "static/"
STATICFILES_DIRS = [("ninja", _NINJA / "static" / "ninja")]
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
WHITENOISE_USE_FINDERS = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SESSION_ENGINE = "restaurant_wa.sign_ins"
AUTHENTICATION_BACKENDS = ["sessions_app.admin.sign_in.SignIn"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=False)
SECURE_REDIRECT_EXEMPT = ["^internal/", "^(livez|readyz|health|metrics)$"]  # bridges and monitors come without the proxy
BEHIND_TLS_PROXY = env.bool("BEHIND_TLS_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=False)
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # bytes; a message of 4,000 characters fits many times over

# --- PostgreSQL: the only truth ---------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **env.db_url("DATABASE_URL", default="postgresql://postgres@127.0.0.1:5432/restaurant_wa"),
        "CONN_MAX_AGE": env.int("DB_CONN_MAX_AGE", default=60),
        "CONN_HEALTH_CHECKS": True,
    },
}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    connect_timeout=env.int("DB_CONNECT_TIMEOUT", default=5),
    # A connection that was cut off answers with an error within 10 s instead of hanging for two hours.
    keepalives_idle=5,
    keepalives_interval=2,
    keepalives_count=3,
    tcp_user_timeout=10_000,
    options="-c statement_timeout={}ms -c lock_timeout={}ms -c idle_in_transaction_session_timeout={}ms".format(
        env.int("DB_STATEMENT_TIMEOUT_MS", default=15_000),
        env.int("DB_LOCK_TIMEOUT_MS", default=5_000),
        env.int("DB_IDLE_TRANSACTION_TIMEOUT_MS", default=30_000),
    ),
)
# The bridge's own connection: a role that sees its three tables only (`manage.py bridge_role` makes it).
BRIDGE_DATABASE_URL = env.str("BRIDGE_DATABASE_URL", default=env.str("DATABASE_URL", default=""))

# --- Redis or Valkey: broker, rate limits; losing it loses nothing -------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

# --- The bridge, its secret and the WhatsApp network --------------------------------------------------------------
INSECURE_SECRETS = frozenset(
    {"", "insecure-development-key", "insecure-development-secret", "change-me", "your-production-secret-here"}
)
WHATSAPP_SECRET = env.str("WHATSAPP_SECRET", default="insecure-development-secret")
WHATSAPP_PORT = env.int("WHATSAPP_PORT", default=8002)  # 0: any free port
WEB_URL = env.str("WEB_URL", default=env.str("FASTAPI_URL", default="http://127.0.0.1:8000"))
# Key ring of the WhatsApp credentials: `id:base64 of 32 bytes`, comma-separated; the first one encrypts.
WA_ENCRYPTION_KEYS = env.str("WA_ENCRYPTION_KEYS", default="")
# Empty: WhatsApp itself. Set by `manage.py up` to the simulated network on this machine.
WA_SOCKET_URL = env.str("WA_SOCKET_URL", default="")
SIMULATOR_URL = env.str("SIMULATOR_URL", default="")  # the virtual phones' page; empty when live
NODE_BINARY = env.str("NODE_BINARY", default="")  # empty: the bundled Node 24, else `node` on PATH
BRIDGE_COMMAND = env.str("BRIDGE_COMMAND", default="").strip()  # empty: node_bridge/; else a program in its place
DATA_DIR = env.path("DATA_DIR", default=str(BASE_DIR / ".data"))

# --- QR codes as files, for programs that show them by themselves ---------------------------------------------------
QR_FILES = env.bool("QR_FILES", default=False)
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "qr": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        # Whoever can read such a file can take over the number's link: nobody but this user may.
        "OPTIONS": {"location": f"{DATA_DIR}/qr", "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
}

# --- The API ------------------------------------------------------------------------------------------------------
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=1_200)  # of each API key; 0: no limit
LEGACY_ROUTES = env.bool("LEGACY_ROUTES", default=False)  # the addresses of the service this one replaces

# --- Webhooks -----------------------------------------------------------------------------------------------------
# Whether a restaurant's webhook may lead into this installation's own network, and do without TLS.
WEBHOOK_PRIVATE_ADDRESSES = env.bool("WEBHOOK_PRIVATE_ADDRESSES", default=False)

# --- Keeping and forgetting ---------------------------------------------------------------------------------------
# Days for which finished messages, what customers wrote and activity logs are kept; 0: for ever. 30 at least (`checks`).
MESSAGES_KEPT_DAYS = env.int("MESSAGES_KEPT_DAYS", default=0)

# --- Pace ---------------------------------------------------------------------------------------------------------
PACE_MIN_DELAY_MS = env.int("PACE_MIN_DELAY_MS", default=2_000)
PACE_MAX_DELAY_MS = env.int("PACE_MAX_DELAY_MS", default=10_000)
# To strangers, who have never written to the number: slower, and few new chats a day until the number is warmed up.
COLD_MIN_DELAY_MS = env.int("COLD_MIN_DELAY_MS", default=20_000)
COLD_MAX_DELAY_MS = env.int("COLD_MAX_DELAY_MS", default=60_000)
WARM_UP = env.bool("WARM_UP", default=True)
STRANGERS_DAILY_LIMIT = env.int("STRANGERS_DAILY_LIMIT", default=80)  # new chats of one number, after its warm-up; 0: no limit
IDENTICAL_LIMIT = env.int("IDENTICAL_LIMIT", default=10)  # strangers who may get one text within an hour; 0: any number
RECIPIENT_GAP_S = env.int("RECIPIENT_GAP_S", default=0)  # between two messages to one customer
TYPING_MS_PER_CHARACTER = env.int("TYPING_MS_PER_CHARACTER", default=20)
TYPING_MAX_MS = env.int("TYPING_MAX_MS", default=1_500)
SEND_ACK_TIMEOUT_S = env.float("SEND_ACK_TIMEOUT_S", default=60.0)
LINK_WINDOW_S = env.int("LINK_WINDOW_S", default=300)

# --- Workers ------------------------------------------------------------------------------------------------------
WORKER_CAPACITY = env.int("WORKER_CAPACITY", default=5_000)  # sessions
WORKER_HEARTBEAT_S = env.float("WORKER_HEARTBEAT_S", default=2.0)
WORKER_TTL_S = env.float("WORKER_TTL_S", default=6.0)
WORKER_LEASE_MARGIN_S = env.float("WORKER_LEASE_MARGIN_S", default=1.0)
WORKER_ALIVE_FILE = env.str("WORKER_ALIVE_FILE", default="")  # for health checks by its age; empty: none

# --- Observability ------------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
SENTRY_DSN = env.str("SENTRY_DSN", default="")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # whoever reads /metrics shows it; empty: there is none
ENVIRONMENT = env.str("ENVIRONMENT", default="development")  # "production" turns the insecure-default checks into errors
RELEASE = env.str("RELEASE", default="")
LOGGING = json_logging.configuration(LOG_LEVEL)
json_logging.configure(LOG_LEVEL)
reporting.start(dsn=SENTRY_DSN, environment=ENVIRONMENT, release=RELEASE)

# --- The admin's look ---------------------------------------------------------------------------------------------
LOGIN_REDIRECT_URL = "admin:index"  # Unfold's login form carries no `next` of its own
FORMAT_MODULE_PATH = ["sessions_app.formats"]
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Restaurant WA",
    "SITE_HEADER": "Restaurant WA",
    "SITE_SUBHEADER": "WhatsApp for restaurants",
    "SITE_SYMBOL": "restaurant",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "sessions_app.admin.menu.favicon"}],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "STYLES": ["sessions_app.admin.menu.stylesheet"],
    "DASHBOARD_CALLBACK": "sessions_app.admin.dashboard.dashboard",
    "SIDEBAR": {"navigation": "sessions_app.admin.menu.navigation"},
    "COLORS": {
        "primary": {
            "50": "#f0fdfa",
            "100": "#ccfbf1",
            "200": "#99f6e4",
            "300": "#5eead4",
            "400": "#2dd4bf",
            "500": "#14b8a6",
            "600": "#0f766e",
            "700": "#115e59",
            "800": "#134e4a",
            "900": "#133c3a",
            "950": "#042f2e",
        },
    },
}
