"""What two people can edit: read with an ``ETag``, changed with ``If-Match``, so that nobody undoes the other's change.

.. code-block:: python

    @router.put("/nodes/{name}/settings", **EDITS)
    def change_settings(name: str, given: NodeSettings, change: Change, if_match: IfMatch = None) -> Response:
        was = expected(if_match, current)
        return change("compute_node.configure", {"node": name, "was": was, **given.model_dump()})
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response

from corpus.controller.revisions import digest
from corpus.web.changes import CHANGES
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


#: What an endpoint that changes what was read answers; for its decorator.
EDITS: dict[str, Any] = CHANGES


def tag(response: Response, content: Any) -> None:
    """Put the tag of a content on its answer.

    :param content: JSON
    """
    response.headers["ETag"] = f'"{digest(content)}"'


def expected(given: str | None, content: Any) -> str:
    """Return the digest of a content, which who changes it must have read.

    :param given: ``If-Match`` as it came
    :raises Refused: there is none (428), or it is of another content (412)
    """
    if given is None:
        raise Refused(428, "Read it first, and give its ETag as If-Match: somebody else may have changed it.")
    found = digest(content)
    if not {"*", f'"{found}"'} & {one.strip() for one in given.split(",")}:
        raise Refused(412, "It was changed meanwhile: read it again, and change that.")
    return found
