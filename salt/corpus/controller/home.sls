# Registry, keys and images; nobody else looks in. The web service's user may walk through, to the registry's own folder.

{%- set controller = pillar["controller"] %}
{%- set web = controller["web"] %}

controller-home:
  file.directory:
    - name: {{ controller["home"] }}
    - mode: {{ "'0710'" if web and web["registry"] else "'0700'" }}
    - group: {{ web["group"] if web and web["registry"] else "root" }}
    - makedirs: true
{%- if web %}
{%- if web["new"] %}
    - require:
      - user: controller-web-user

controller-web-user:
  user.present:
    - name: {{ web["user"] }}
    - system: true
    - usergroup: true
    - createhome: false
    - home: /nonexistent
    - shell: /usr/sbin/nologin
{%- endif %}

controller-web-folder:
  file.directory:
    - name: {{ web["folder"] }}
    - mode: "0755"
    - makedirs: true

# The master knows the service by this; the password itself is the service's alone.
controller-web-identity:
  file.managed:
    - name: {{ web["folder"] }}/identities
    - contents: {{ web["identity"] | json }}
    - mode: "0600"
    - show_changes: false
    - require:
      - file: controller-web-folder
    - require_in:
      - file: controller-master-configuration
{%- if web["registry"] %}

# SQLite writes beside its database, for root and for the service.
controller-registry-folder:
  file.directory:
    - name: {{ web["registry"] }}
    - group: {{ web["group"] }}
    - mode: "2770"
    - require:
      - file: controller-home
{%- endif %}
{%- endif %}
