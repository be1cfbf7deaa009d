"""The token of a script's requests: fetched in `setup()`, and anew by each VU when it is due.

Rules
-----
- OAuth 2.0 client credentials as `engine/tokens.py` has them: the same request, the same demands on the
  answer, the same moment of the next one. What fails later is tried again, and the token before is used
  meanwhile.
- The requests stand under the name `(token)`, which no route has, and say nothing of `expected_response`.
- No message holds the secret or an answer.
"""

from __future__ import annotations

from ecoload.export.k6 import layout
from ecoload.export.k6.js import Literal, Raw, declaration
from ecoload.export.k6.layout import Template
from ecoload.export.k6.steps import base_url_name, secret_variable
from ecoload.plan import ClientCredentials, Plan


def credentials(plan: Plan, auth: ClientCredentials) -> str:
    """The constant that says how a token is got."""
    app = plan.origins[auth.origin].app
    said: dict[str, Literal] = {
        "app": app,
        "path": auth.path,
        "url": Raw(layout.expression(Template((Raw(base_url_name(app)), auth.path)))),
        "clientId": auth.client_id,
        "secret": secret_variable(plan, auth.secret),
        "scope": auth.scope,
    }
    return f"// How a token is got: by client credentials (RFC 6749, 4.4).\n{declaration('TOKEN', said)}"


FETCH_TOKEN = """\
// A token, and when the next one is due. The request stands in no route's
// figures.
function fetchToken(runId) {
  const client = [TOKEN.clientId, __ENV[TOKEN.secret]].map(encodeURIComponent);
  const form = { grant_type: "client_credentials" };
  if (TOKEN.scope) {
    form.scope = TOKEN.scope;
  }
  const asked = Date.now();
  const answer = http.post(TOKEN.url, form, {
    headers: {
      Authorization: `Basic ${encoding.b64encode(client.join(":"))}`,
      Accept: "application/json",
      "X-Ecoload-Run": runId,
      "X-Ecoload-Probe": "1",
    },
    redirects: 0,
    responseCallback: null,
    tags: { name: "(token)" },
    timeout: "30s",
  });
  const said = `${TOKEN.app}: POST ${TOKEN.path}`;
  if (answer.status === 0) {
    throw new Error(`${said} failed: ${answer.error}`);
  }
  const document = json(answer) || {};
  if (answer.status !== 200) {
    const known = OAUTH_ERRORS.includes(document.error);
    const word = known ? ` (${document.error})` : "";
    throw new Error(
      `${said} answered ${answer.status}${word}; auth: of ${APP} in targets.yaml says who asks ` +
        `(${TOKEN.clientId}), for which scope, and with which secret (${TOKEN.secret})`,
    );
  }
  const { access_token, token_type, expires_in = 300 } = document;
  const sound =
    typeof access_token === "string" &&
    /^[!-~]{1,16384}$/.test(access_token) &&
    /^bearer$/i.test(token_type) &&
    typeof expires_in === "number" &&
    expires_in > 0;
  if (!sound) {
    throw new Error(`${said} answered 200 with what is no bearer token`);
  }
  const life = Math.min(expires_in, 86400) - (Date.now() - asked) / 1000;
  const due = Math.max(1, Math.min(0.8 * life, life - 5));
  return { value: access_token, due: Date.now() + 1000 * due };
}

const OAUTH_ERRORS = [
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
];"""

BEARER = """\
// The token that holds now: setup()'s, and later ones that this VU fetched.
let token;
function bearer(run) {
  token = token || { ...run.token, pause: 1000 };
  if (Date.now() >= token.due) {
    try {
      token = { ...fetchToken(run.id), pause: 1000 };
    } catch (error) {
      console.warn(`${error.message}; the token before is used meanwhile`);
      token = {
        value: token.value,
        due: Date.now() + token.pause,
        pause: Math.min(2 * token.pause, 30000),
      };
    }
  }
  return token.value;
}"""
