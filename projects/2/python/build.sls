# The virtual environment, by uv where there is one, else by venv and pip.
{% set python = cfg.data.python %}
{% set environment = cfg.project_root ~ '/' ~ python.environment %}
{% set uv = salt['mc_python.uv'](cfg) %}
{% set interpreter = salt['mc_python.interpreter'](cfg) %}
{% set pip = (uv ~ ' pip install --quiet --python ' ~ environment ~ '/bin/python') if uv
   else (environment ~ '/bin/python -m pip install --quiet --disable-pip-version-check') %}
{# The machine's own certificates, as every other program here uses them; no links into a cache that others share. #}
{% set env = {'UV_SYSTEM_CERTS': '1', 'UV_NATIVE_TLS': '1', 'UV_LINK_MODE': 'copy'} %}
{% set files = salt['mc_python.requirements'](cfg) %}

{{ cfg.name }}-environment:
  mc_project.command:
    - name: {{ uv ~ ' venv --quiet --python ' ~ interpreter if uv else interpreter ~ ' -m venv' }} {{ environment }}
    - creates: {{ environment }}/bin/python

{% for file in files %}
{{ cfg.name }}-{{ file }}:
  mc_project.command:
    - name: {{ pip }} --requirement {{ file }}
    - env: {{ env | json }}
    - require:
      - mc_project: {{ cfg.name }}-environment
{% endfor %}

{% if not files and python.install_project and salt['mc_python.is_package'](cfg) %}
{{ cfg.name }}-package:
  mc_project.command:
    - name: {{ pip }} .
    - env: {{ env | json }}
    - require:
      - mc_project: {{ cfg.name }}-environment
{% endif %}
