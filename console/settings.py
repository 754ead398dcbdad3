"""Settings. Every value that an operator may set is read from the environment here and listed in the README."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from console.environment import BASE_DIR, EMBEDDED, VAR, at_least, env, kept_secret, versioned_keys

VERSION = "0.1.0"
TESTING = "pytest" in sys.modules

# --- Keys. SECRET_KEY signs sessions only; tokens and DKIM keys have their own, to be rotated one by one.
SECRET_KEY = kept_secret("SECRET_KEY", 50)
TOKEN_KEYS = versioned_keys("TOKEN_KEYS")
DKIM_KEYS = versioned_keys("DKIM_KEYS")

# --- Web
DEBUG = False
PORT = env.int("POSTHORN_PORT", default=8000)
HTTPS = env.bool("HTTPS", default=not EMBEDDED)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if EMBEDDED else [])
# Where recipients reach us: unsubscribe and click links are made from it.
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
WEB_BIND = env.str("WEB_BIND", default=f"127.0.0.1:{PORT}")
WEB_WORKERS = env.int("WEB_WORKERS", default=2)
ROOT_URLCONF = "console.urls"
WSGI_APPLICATION = "console.wsgi.application"

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# Two installations on one host name (ports do not separate cookies) must not sign each other out.
SESSION_COOKIE_NAME = "posthorn_session" if not EMBEDDED else f"posthorn_session_{PORT}"
CSRF_COOKIE_NAME = "posthorn_csrf" if not EMBEDDED else f"posthorn_csrf_{PORT}"
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 6 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20
# Largest file that a form takes; a form says so beside its field.
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=20 * 2**20)

INSTALLED_APPS = [
    "console.apps.ConsoleConfig",
    "suppression.apps.SuppressionConfig",
    "delivery.apps.DeliveryConfig",
    "tracking.apps.TrackingConfig",
    "exports.apps.ExportsConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django.forms",
    "django_filters",
    "django_htmx",
    "django_q",
    "django_tables2",
]

MIDDLEWARE = [
    "console.middleware.OtherNames",
    "django.middleware.security.SecurityMiddleware",
    "console.middleware.ContentSecurityPolicy",
    "console.middleware.BarePages",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.middleware.AccountZone",
    "django_htmx.middleware.HtmxMiddleware",
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
                "console.context.console",
            ],
            "builtins": ["console.templatetags.posthorn"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
DJANGO_TABLES2_TEMPLATE = "console/table.html"

# --- People
AUTH_USER_MODEL = "console.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# --- Language and time: UTC inside, the account's zone on screen.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
USE_THOUSAND_SEPARATOR = True

# --- Static files
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(VAR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = TESTING
# Looked up when asked for: each client of a test would first look through all of them.
WHITENOISE_AUTOREFRESH = TESTING
MEDIA_ROOT = VAR / "media"

# --- Database. Each thread keeps a connection of its own (console/database.py).
from console import database  # noqa: E402  (needs nothing of the settings, but the reader wants it here)

DATABASES = {"default": database.configuration()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- django-q2: the control plane. Values: retry counts from prefetch, so it stays far above timeout; save_limit=-1
# and lasting connections make it ten times faster; failures are pruned by our own job.
_Q = {
    "orm": "default",
    "bulk": 10,
    "timeout": 300,
    "retry": 3600,
    "ack_failures": True,
    "save_limit": -1,
    "guard_cycle": 1,
    "recycle": 500,
    "catch_up": False,
    "poll": 0.2,
    "max_attempts": 3,
}
DELIVER_WORKERS = env.int("DELIVER_WORKERS", default=max(2, os.cpu_count() or 2))
JOB_WORKERS = env.int("JOB_WORKERS", default=2)
Q_CLUSTER = {
    **_Q,
    "name": "posthorn",
    "workers": 1,
    "queue_limit": 4,
    "ALT_CLUSTERS": {
        # bulk=1: a deliver task runs for minutes, so one must never wait behind another in a worker's hand.
        "deliver": {**_Q, "workers": DELIVER_WORKERS, "queue_limit": DELIVER_WORKERS, "bulk": 1, "scheduler": False},
        "jobs": {**_Q, "workers": JOB_WORKERS, "queue_limit": JOB_WORKERS * 2},
    },
}

# --- How many months messages with their attempts, and events, are kept; 0: for ever. Statistics are kept.
KEEP_MESSAGES_MONTHS = at_least("KEEP_MESSAGES_MONTHS", default=0)
KEEP_EVENTS_MONTHS = at_least("KEEP_EVENTS_MONTHS", default=0)

# --- Exports: finished files in a folder, or in a bucket (S3's protocol, posthorn[s3]) that several machines reach.
EXPORTS_BUCKET = env.str("EXPORTS_BUCKET", default="")
EXPORTS_WORK_DIR = VAR / "exports" / "making"
STORAGES["exports"] = (
    {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {"bucket_name": EXPORTS_BUCKET, "querystring_auth": True}}
    if EXPORTS_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR / "exports" / "done"}}
)

# Without a sign of life for so long, the supervisor replaces a part. Longer than a busy machine takes to start one.
SILENT_SECONDS = env.float("SILENT_SECONDS", default=60)

# From SIGTERM to the end of `serve`: mail on the wire gets ten seconds less (console/stopping.py). Whoever stops the
# service must wait longer than that.
STOP_SECONDS = env.float("STOP_SECONDS", default=30)

# --- Machines that share one database
# Tells them apart; empty: this machine's own name.
MACHINE_NAME = env.str("MACHINE_NAME", default="")
# A worker that is silent for so long no longer counts, and may begin nothing under what it had of receivers' limits.
LEASE_SECONDS = env.float("LEASE_SECONDS", default=15)
# A worker has mail in hand for so long; a sixth of it later, another may take over what it left.
CLAIM_SECONDS = env.float("CLAIM_SECONDS", default=180)

# --- Mail
DNS_SERVERS = env.list("DNS_SERVERS", default=[])  # host or host:port; empty: the system's resolvers
DNS_TIMEOUT = env.float("DNS_TIMEOUT", default=5.0)
MX_PORT = env.int("MX_PORT", default=25)
EHLO_NAME = env.str("EHLO_NAME", default="")  # empty: this machine's own name
SENDING_IPS = env.list("SENDING_IPS", default=[])  # published in SPF records; empty: whatever the system routes by
# Where the preflight tries port 25: host or host:port; empty: a large provider's, or the simulator.
PREFLIGHT_HOST = env.str("PREFLIGHT_HOST", default="")
# Opens and clicks are gathered for so many seconds and written together; 0: each by itself.
HIT_SECONDS = env.float("HIT_SECONDS", default=0 if TESTING else 0.3)
# Keep recipients' addresses without their last part: the last octet of IPv4, the last 80 bits of IPv6.
ANONYMISE_IP = env.bool("ANONYMISE_IP", default=False)
MAIL_HOST = env.str("MAIL_HOST", default="localhost")  # the host that bounce domains' MX records name
# Where mail that comes back is taken in: bounce mails, complaints, unsubscriptions. Empty host: every address.
FEEDBACK_HOST = env.str("FEEDBACK_HOST", default="127.0.0.1" if EMBEDDED else "")
FEEDBACK_PORT = env.int("FEEDBACK_PORT", default=PORT + 26 if EMBEDDED else 25)
FEEDBACK_MAX_BYTES = env.int("FEEDBACK_MAX_BYTES", default=2**20)
FEEDBACK_CONNECTIONS = env.int("FEEDBACK_CONNECTIONS", default=200)
# Of each client IP: connections at once, and mails a minute; 0: no limit. Embedded, all come from one address.
FEEDBACK_CONNECTIONS_EACH = env.int("FEEDBACK_CONNECTIONS_EACH", default=0 if EMBEDDED else 20)
FEEDBACK_RATE_EACH = env.int("FEEDBACK_RATE_EACH", default=0 if EMBEDDED else 1200)
FEEDBACK_TLS_FILE = env.str("FEEDBACK_TLS_FILE", default="")  # PEM: private key and certificates; empty: no STARTTLS
FEEDBACK_KEEP_DAYS = at_least("FEEDBACK_KEEP_DAYS", default=30)
# What servers answered, until it is in the database. On a local disk that outlives the process.
JOURNAL_DIR = Path(env.str("JOURNAL_DIR", default=str(VAR / "journal")))
# The simulator's domain: mail to it counts towards no quota and is retried within seconds.
SIMULATOR = env.bool("SIMULATOR", default=EMBEDDED)
SIMULATOR_DOMAIN = env.str("SIMULATOR_DOMAIN", default="simulator.test")
SIMULATOR_DIR = VAR / "simulator"
# No mail leaves this machine: names are looked up in the simulator's DNS, and what it does not know does not exist.
SIMULATED_WORLD = False
# Receiving domains or MX hosts (patterns, like *.example.com) to which mail goes encrypted, with a certificate that is
# good for the MX host, or not at all.
TLS_REQUIRED = [pattern.strip().lower() for pattern in env.list("TLS_REQUIRED", default=[])]
# Certificate authorities that are trusted beside the system's, a PEM file.
TLS_CA_FILE = env.str("TLS_CA_FILE", default="")
# Where callbacks may go: ports, and networks although they are private (10.1.0.0/16, with commas).
CALLBACK_PORTS = [int(port) for port in env.list("CALLBACK_PORTS", default=["80", "443", "8080", "8081", "8082"])]
CALLBACK_ALLOWED_NETWORKS = env.list("CALLBACK_ALLOWED_NETWORKS", default=[])
SMTP_TIMEOUTS = {
    # RFC 5321 §4.5.3.2, in seconds.
    "connect": env.float("SMTP_TIMEOUT_CONNECT", default=30),
    "greeting": env.float("SMTP_TIMEOUT_GREETING", default=300),
    "command": env.float("SMTP_TIMEOUT_COMMAND", default=300),
    "data": env.float("SMTP_TIMEOUT_DATA", default=120),
    "block": env.float("SMTP_TIMEOUT_BLOCK", default=180),
    "dot": env.float("SMTP_TIMEOUT_DOT", default=600),
}
if EMBEDDED and SIMULATOR:
    # The simulator is the embedded default's whole outside world.
    SIMULATOR_DNS_PORT = env.int("SIMULATOR_DNS_PORT", default=PORT + 53)
    SIMULATOR_SMTP_PORT = env.int("SIMULATOR_SMTP_PORT", default=PORT + 25)
    SIMULATED_WORLD = not DNS_SERVERS
    DNS_SERVERS = DNS_SERVERS or [f"127.0.0.1:{SIMULATOR_DNS_PORT}"]
    MX_PORT = env.int("MX_PORT", default=SIMULATOR_SMTP_PORT)
    SENDING_IPS = SENDING_IPS or ["127.0.0.1"]
else:
    SIMULATOR_DNS_PORT = env.int("SIMULATOR_DNS_PORT", default=5353)
    SIMULATOR_SMTP_PORT = env.int("SIMULATOR_SMTP_PORT", default=2525)

# --- Logs
LOGGING_CONFIG = None
from console import logs  # noqa: E402

logs.configure(level=env.str("LOG_LEVEL", default="WARNING" if TESTING else "INFO"))
