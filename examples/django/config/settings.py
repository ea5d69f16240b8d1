"""Settings: what differs between places is in the environment, what must last is in ``DATA_ROOT``.

DATA_ROOT
    The project's persistent folder: database and secret key. Required.
ALLOWED_HOSTS
    Further names that the site answers to, separated by commas.
"""

import os
from pathlib import Path

from .secret_key import kept_secret_key

DATA_ROOT = Path(os.environ["DATA_ROOT"])
HOSTS = [host.strip() for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host.strip()]

SECRET_KEY = kept_secret_key(DATA_ROOT / "secret_key")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", *HOSTS]
# The proxy may speak https to the visitor and http to us, which would look like a forged form.
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in HOSTS]

INSTALLED_APPS = ["guestbook"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "guestbook.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_ROOT / "db.sqlite3",
        # A writer takes its lock at once and waits for it, so that workers queue instead of failing.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 10},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Django alone shows errors on the console only when DEBUG is set; here they belong in the journal.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
