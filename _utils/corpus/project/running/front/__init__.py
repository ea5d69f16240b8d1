"""The web front: nginx and what it shows of each project: sites, certificates, files, pages."""

from corpus.project.running.front.address import check_names, host, loopback, url
from corpus.project.running.front.front import Front, check
from corpus.project.running.front.served_files import document_root

__all__ = ["Front", "check", "check_names", "document_root", "host", "loopback", "url"]
