# PowerDNS, with a database of its own; zones and records are corpus' to make, through its API.

{%- set controller = pillar["controller"] %}
{%- set dns = controller["dns"] %}

include:
  - corpus.controller.packages

{%- if not dns["postgresql"] %}

# SQLite writes beside its database.
controller-dns-home:
  file.directory:
    - name: {{ dns["home"] }}
    - user: {{ dns["user"] or "root" }}
    - group: {{ dns["user"] or "root" }}
    - mode: "0755"
    - require:
      - pkg: controller-packages
    - require_in:
      - cmd: controller-dns-database
{%- endif %}

# Not by "unless" and "creates", here and in other files: for those, Salt loads every module that it has. What is asked while
# this is rendered may not have its program yet; a database that is taken over is asked again, therefore.
{%- if dns["postgresql"] %}
{%- set asked = "psql --no-psqlrc --quiet --command='SELECT 1 FROM domains LIMIT 1'" %}
{%- set there = salt["cmd.retcode"](asked, env=dns["environment"], python_shell=True, ignore_retcode=True) == 0 %}
{%- else %}
{%- set there = salt["file.file_exists"](dns["database"]) %}
{%- endif %}

controller-dns-database:
{%- if dns["postgresql"] %}
  cmd.{{ "wait" if there else "run" }}:
    - name: {{ asked }} || psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file=/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql
    - env: {{ dns["environment"] | json }}
    - hide_output: true
{%- else %}
  cmd.{{ "wait" if there else "run" }}:
    - name: sqlite3 {{ dns["database"] }} '.read /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql'
{%- endif %}
    - require:
      - pkg: controller-packages

{%- if not dns["postgresql"] %}

controller-dns-database-owner:
  file.managed:
    - name: {{ dns["database"] }}
    - user: {{ dns["user"] or "root" }}
    - group: {{ dns["user"] or "root" }}
    - mode: "0640"
    - replace: false
    - require:
      - cmd: controller-dns-database
    - require_in:
      - file: controller-dns-configuration
{%- endif %}

controller-dns-configuration:
  file.managed:
    - name: {{ dns["folder"] }}/pdns.d/corpus.conf
    - source: salt://corpus/controller/files/pdns.conf
    - template: jinja
    - mode: "0640"
    - group: {{ dns["user"] or "root" }}
    - makedirs: true
    - show_changes: false
    - require:
      - cmd: controller-dns-database

# Debian's package brings this one.
controller-dns-main:
  file.managed:
    - name: {{ dns["folder"] }}/pdns.conf
    - contents: include-dir={{ dns["folder"] }}/pdns.d
    - replace: false
    - require:
      - file: controller-dns-configuration

{%- if controller["systemd"] %}

controller-dns-service:
  service.running:
    - name: pdns
    - enable: true
    - watch:
      - file: controller-dns-configuration
{%- endif %}
