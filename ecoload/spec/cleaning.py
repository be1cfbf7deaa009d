"""The one request that deletes an app's test data, made of the route that the app declares for it.

Rules
-----
- It is the route as declared, with the protocol's namespace at the declared place and nothing else filled in.
- The app's headers go with it, as with every request.
"""

from __future__ import annotations

from collections.abc import Mapping

from ecoload.plan import Array, Body, BodyKind, NamespaceAt, Object, Route, Step, Value
from ecoload.spec import template


def cleanup_step(route: Route, index: int, origin: int, headers: Mapping[str, str], namespace: str) -> Step:
    """The step that sends `route`, which stands at `index` of a plan and writes."""
    place = route.namespace
    assert place is not None, "a route that writes declares its namespace"
    own = [(place.at, namespace)] if place.place == "header" else []
    taken = {name.lower() for name, _ in own}
    sent = [(n, template.parse_text(text)) for n, text in headers.items() if n.lower() not in taken]
    return Step(
        route=index,
        origin=origin,
        method=route.method,
        path=route.path.replace(f"{{{place.at}}}", namespace) if place.place == "path" else route.path,
        query=((place.at, namespace),) if place.place == "query" else (),
        headers=(*sent, *own),
        body=_body(place, namespace),
        redirects=0,
    )


def _body(place: NamespaceAt, namespace: str) -> Body | None:
    if place.place == "form":
        return Body(BodyKind.FORM, ((place.at, namespace),), "application/x-www-form-urlencoded")
    if place.place != "json":
        return None
    content: Value = namespace
    for key in reversed(place.at.removeprefix("$.").split(".")):
        # The guard counts numbers in arrays; only the first item of one can be all there is.
        content = Array((content,)) if key == "0" else Object(((key, content),))
    return Body(BodyKind.JSON, content, "application/json")
