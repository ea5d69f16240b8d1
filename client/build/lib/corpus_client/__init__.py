"""The ``corpus`` command: what a person has on their laptop. It needs no Salt, and nothing else of corpus.

This package is installed under two names: as ``corpus.client`` beside Salt, and as ``corpus_client`` alone. So its modules
import each other relatively.
"""

__version__ = "0.1.0"
