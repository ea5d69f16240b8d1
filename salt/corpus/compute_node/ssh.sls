# People and the controller come by key alone.

{% set keys = salt["pillar.get"]("corpus:keys", []) %}

include:
  - corpus.compute_node.packages

compute-node-sshd:
  file.managed:
    - name: /etc/ssh/sshd_config.d/corpus.conf
    - contents: |
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin prohibit-password
    - mode: "0600"
    - makedirs: true
    - require:
      - pkg: compute-node-packages
  service.running:
    - name: ssh
    - enable: true
    - reload: true
    - watch:
      - file: compute-node-sshd

{%- if keys %}

compute-node-keys:
  ssh_auth.present:
    - user: root
    - names:
{%- for key in keys %}
      - {{ key["public"] | json }}
{%- endfor %}
    - require:
      - pkg: compute-node-packages
{%- endif %}
