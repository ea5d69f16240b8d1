# The master: its configuration, and the services of it.

{%- set controller = pillar["controller"] %}

{%- if controller["group"] %}

controller-administrators:
  group.present:
    - name: {{ controller["group"] }}
    - system: true
{%- endif %}

{%- if controller["pam_python"] %}

# Salt asks PAM with a Python that is no link, or it would not be the one of its own environment.
controller-pam-python:
  file.managed:
    - name: {{ controller["pam_python"] }}
    - contents: |
        #!/bin/sh
        exec {{ controller["python"] }} "$@"
    - mode: "0755"
    - makedirs: true
    - dir_mode: "0755"
    - require_in:
      - file: controller-master-configuration
{%- endif %}

controller-master-configuration:
  file.managed:
    - name: {{ controller["configuration"] }}/master.d/corpus.conf
    - source: salt://corpus/controller/files/master.conf
    - template: jinja
    - mode: "0600"
    - makedirs: true
    - dir_mode: "0755"
    - show_changes: false

controller-master-main:
  file.managed:
    - name: {{ controller["configuration"] }}/master
    - contents: "# What is here wins over master.d/*.conf."
    - replace: false
    - require:
      - file: controller-master-configuration

controller-runners-folder:
  file.directory:
    - name: {{ controller["cache"] }}/proc
    - mode: "0700"
    - makedirs: true

{%- if controller["systemd"] %}

controller-salt-master-unit:
  file.managed:
    - name: {{ controller["units"] }}/salt-master.service
    - source: salt://corpus/controller/files/salt-master.service
    - template: jinja

controller-units:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: controller-salt-master-unit

controller-master-service:
  service.running:
    - name: salt-master
    - enable: true
    - require:
      - file: controller-master-main
      - file: controller-runners-folder
      - cmd: controller-units
{%- if controller["restart"] %}
    - watch:
      - file: controller-master-configuration
      - file: controller-salt-master-unit
{%- endif %}
{%- endif %}
