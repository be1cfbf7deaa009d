"""Redirects in a script: which steps follow them, and the function that does.

Rules
-----
- A script follows to a GET or a HEAD of the step's own app, if the guard (`guard/rules.py`) allows every such
  request. Where the guard would look at more, the step follows none.
- k6's own following is never used: nothing would look at where it leads.
- An address that Go, Python or a server could read otherwise is not asked.
"""

from __future__ import annotations

from ecoload.guard.reach import at_one_address
from ecoload.plan import Plan, Step

STATUSES = (301, 302, 303, 307, 308)
_READING = frozenset({"GET", "HEAD", "*"})


def follows(plan: Plan, step: Step) -> bool:
    """Whether a script follows the redirects of a step: those of an app that is alone at its address, and of
    which the guard allows any GET and HEAD."""
    there = plan.origins[step.origin]
    alone = len([*at_one_address(plan, step.origin)]) == 1
    refused = {pattern.partition(" ")[0].upper() for pattern in plan.deny}
    refused |= {r.method for r in plan.routes if r.app == there.app and r.effect != "none"}
    return step.redirects > 0 and there.writes is not None and alone and not refused & _READING


REQUEST = r"""
// http.request, but redirects to a GET or a HEAD of the same app are followed.
// Any other is not: nothing is sent, and the step fails.
function request(method, url, body, { app, redirects = 10, ...params }) {
  let sent = { method, url, body, headers: params.headers };
  for (let hops = 0; sent; hops += 1) {
    const own = { ...params, headers: sent.headers, redirects: 0 };
    const answer = http.request(sent.method, sent.url, sent.body, own);
    const location = answer.headers.Location;
    const isRedirect = REDIRECTS.includes(answer.status);
    if (isRedirect && hops === redirects) {
      break;
    }
    if (!isRedirect || location === undefined) {
      return answer;
    }
    if (params.responseCallback !== null) {
      errors.add(false, params.tags); // setup() is in no route's figures
    }
    sent = hop(app, sent, answer.status, location);
  }
  const error = sent ? "too many redirects" : "a redirect that is not followed";
  console.error(`${params.tags.name}: ${error}`);
  return { status: 0, headers: {}, body: null, timings: {}, error };
}

const REDIRECTS = [301, 302, 303, 307, 308];

// The request that a redirect asks for; nothing where it is not followed.
function hop(app, sent, status, location) {
  const toGet = status === 303 || (status < 303 && sent.method === "POST");
  const method = toGet && sent.method !== "HEAD" ? "GET" : sent.method;
  const url = resolved(sent.url, location);
  const isInside = `${url.split("?")[0]}/`.startsWith(`${app}/`);
  if (!["GET", "HEAD"].includes(method) || !isInside || !PLAIN.test(url)) {
    return undefined;
  }
  const isSame = method === sent.method;
  const gone = isSame ? /^cookie$/i : /^(cookie|content-(type|encoding))$/i;
  const kept = Object.entries(sent.headers).filter(([it]) => !gone.test(it));
  const headers = Object.fromEntries(kept);
  return { method, url, body: isSame ? sent.body : null, headers };
}

// Where a Location leads (RFC 3986, 5.2), but for dots, which PLAIN refuses.
function resolved(url, location) {
  const [there] = location.split("#");
  const [, kept] = [
    [/^$/, /^.*/],
    [/^[a-z][a-z0-9+.-]*:/i, /^/],
    [/^\/\//, /^[^:]*:/],
    [/^\//, /^[^:]*:\/\/[^/?]*/],
    [/^\?/, /^[^?]*/],
    [/^/, /^[^?]*[^/?]\//],
  ].find(([form]) => form.test(there));
  return kept.exec(url)[0] + there;
}

// An address that all read alike: no user, no segment that is empty or dots, and
// no escape that hides one. (With the flag i, k6 lets more than ASCII through.)
const PLAIN =
  /^https?:\/\/[\w.:[\]-]+(\/(?!\.\.?([;/?]|$))([\w.~!$&'()*+,;=:@-]|%(?!2[EFef]|3[Bb]|5[Cc])[\dA-Fa-f]{2})+)*\/?(\?[!-Z[\]-~]+)?$/;
""".strip("\n")
