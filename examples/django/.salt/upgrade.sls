# Bring the database to the form that this version of the application expects.
# The version before it still answers meanwhile: a migration must leave it able to.
include: {{ cfg.sls_includes.upgrade | json }}

{{ cfg.name }}-migrate:
  mc_project.command:
    - name: venv/bin/python manage.py migrate --noinput
    - cwd: {{ cfg.project_root }}
    - env:
        DATA_ROOT: {{ cfg.data_root }}
    # Salt asks `unless` in the same folder and environment, and as this user: the database belongs to the project.
    - runas: {{ cfg.user }}
    - unless: venv/bin/python manage.py migrate --check
