# Bootstrap and buildout. Eggs lie in the tree, so that a release has them; what was fetched once is kept in the home.
{% set cache = cfg.home ~ '/.buildout' %}

{{ cfg.name }}-environment:
  mc_project.command:
    - name: {{ salt['mc_zope.interpreter'](cfg) }} -m venv venv
    - creates: {{ cfg.project_root }}/venv/bin/python

{{ cfg.name }}-bootstrap:
  mc_project.command:
    - name: venv/bin/python -m pip install --quiet --disable-pip-version-check {{ salt['mc_zope.requirements'](cfg) }}

{{ cfg.name }}-caches:
  mc_project.command:
    - name: mkdir -p {{ cache }}/eggs {{ cache }}/downloads {{ cache }}/extends eggs

{{ cfg.name }}-known-eggs:
  mc_project.command:
    - name: cp -a --reflink=auto {{ cache }}/eggs/. eggs

{{ cfg.name }}-buildout-run:
  mc_project.command:
    - name: venv/bin/buildout -q -c .zope/buildout.cfg

{{ cfg.name }}-keep-eggs:
  mc_project.command:
    - name: cp -a --reflink=auto --no-clobber eggs/. {{ cache }}/eggs
