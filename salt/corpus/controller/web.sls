# The web service: its settings, its certificate, its unit. Applied once the registry is there.

{%- set controller = pillar["controller"] %}
{%- set web = controller["web"] %}

controller-web-password:
  file.managed:
    - name: {{ web["folder"] }}/web.password
    - contents: {{ web["password"] | json }}
    - group: {{ web["group"] }}
    - mode: "0640"
    - show_changes: false

controller-web-settings:
  file.managed:
    - name: {{ web["folder"] }}/web.yaml
    - contents: {{ web["settings"] | json }}
    - group: {{ web["group"] }}
    - mode: "0640"
    - show_changes: false
{%- if web["tls"] %}
{%- for part, mode in (("authority_key", "0600"), ("authority", "0644"), ("key", "0640"), ("certificate", "0644")) %}

controller-web-{{ part | replace("_", "-") }}:
  file.managed:
    - name: {{ web["folder"] }}/{{ web["names"][part] }}
    - contents: {{ web["tls"][part] | json }}
    - group: {{ web["group"] if part == "key" else "root" }}
    - mode: "{{ mode }}"
    - show_changes: false
    - require_in:
      - file: controller-web-settings
{%- endfor %}
{%- endif %}
{%- if controller["systemd"] %}

controller-web-unit:
  file.managed:
    - name: {{ controller["units"] }}/corpus-web.service
    - source: salt://corpus/controller/files/corpus-web.service
    - template: jinja

controller-web-units:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: controller-web-unit

controller-web-service:
  service.running:
    - name: corpus-web
    - enable: true
    - require:
      - cmd: controller-web-units
    - watch:
      - file: controller-web-unit
      - file: controller-web-password
      - file: controller-web-settings
{%- if web["tls"] %}
      - file: controller-web-certificate
{%- endif %}
{%- endif %}
