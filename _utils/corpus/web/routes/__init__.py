"""The API's resources, one module each; :mod:`corpus.web.app` mounts every ``router`` under ``/api/v1``."""
