"""What two people can edit: read with an ``ETag``, changed with ``If-Match``, so that nobody undoes the other's change.

.. code-block:: python

    @router.put("/nodes/{name}/settings", **CHANGES)
    def change_settings(name: str, given: NodeSettings, change: Change, if_match: IfMatch = None) -> Response:
        matches(if_match, current)
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import Header, Response

from corpus.web.problems import Refused

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="The `ETag` of what you read and change; without it: 428, changed meanwhile: 412",
        examples=['"5f70bf18a0860070"'],
    ),
]
#: What an endpoint that is read with an ``ETag`` says of its answer; for its decorator's ``responses``.
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "Of this content: give it as `If-Match`", "schema": {"type": "string"}}}}
}


def etag(content: Any) -> str:
    """Return the strong tag of a content.

    :param content: JSON
    """
    words = json.dumps(content, sort_keys=True, default=str)
    return f'"{hashlib.sha256(words.encode()).hexdigest()[:32]}"'


def tag(response: Response, content: Any) -> None:
    """Put the tag of a content on its answer."""
    response.headers["ETag"] = etag(content)


def matches(given: str | None, content: Any) -> None:
    """See that who changes something read it as it is now.

    :param given: ``If-Match`` as it came
    :raises Refused: there is none (428), or it is of another content (412)
    """
    if given is None:
        raise Refused(428, "Read it first, and give its ETag as If-Match: somebody else may have changed it.")
    tags = [one.strip() for one in given.split(",")]
    if "*" not in tags and etag(content) not in tags:
        raise Refused(412, "It was changed meanwhile: read it again, and change that.")
