# A guest's base system: what a golden image has already, kept so. Applied by mc_guest.create.

{% set keys = salt["pillar.get"]("corpus:keys", []) %}
{% set files = "salt://corpus/guest/files" %}

guest-first-boot:
  file.managed:
    - name: /usr/local/lib/corpus/first-boot
    - source: {{ files }}/usr/local/lib/corpus/first-boot
    - mode: "0755"
    - makedirs: true

{%- for unit in ("corpus-first-boot", "salt-minion") %}

guest-{{ unit }}-unit:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service
    - source: {{ files }}/etc/systemd/system/{{ unit }}.service
    - mode: "0644"

guest-{{ unit }}:
  service.enabled:
    - name: {{ unit }}
    - require:
      - file: guest-{{ unit }}-unit
      - file: guest-first-boot
{%- endfor %}

guest-units:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: guest-corpus-first-boot-unit
      - file: guest-salt-minion-unit

# Projects run an nginx of their own at the same port.
guest-nginx:
  service.dead:
    - name: nginx
    - enable: false

# People and the controller come by key alone.
guest-sshd:
  file.managed:
    - name: /etc/ssh/sshd_config.d/corpus.conf
    - source: {{ files }}/etc/ssh/sshd_config.d/corpus.conf
    - mode: "0644"
  service.running:
    - name: ssh
    - enable: true
    - reload: true
    - watch:
      - file: guest-sshd
{%- if keys %}

guest-keys:
  ssh_auth.present:
    - user: root
    - names:
{%- for key in keys %}
      - {{ key["public"] | json }}
{%- endfor %}
{%- endif %}
