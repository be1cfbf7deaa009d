import http from 'k6/http';
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';

const users = new SharedArray('users', () =>
  open('../workspace/tests/perf/config/data.jsonl').trim().split('\n').map((line) => JSON.parse(line)));

export const options = {
  scenarios: {
    main: {
      executor: 'constant-vus',
      vus: Number(__ENV.VUS),
      duration: `${__ENV.SECONDS}s`,
      gracefulStop: '2s',
    },
  },
};

export default function () {
  const n = __ITER;
  const body = {
    id: `5b2c9c1e-0000-4000-8000-${(exec.vu.idInTest * 4294967296 + n).toString(16).padStart(12, '0')}`,
    namespace: 'bench',
    n,
    user: users[n % users.length].user,
    sku: 'A-1',
    qty: 2,
  };
  const answer = http.post(`${__ENV.URL}/orders`, JSON.stringify(body), {
    headers: { 'Content-Type': 'application/json' },
  });
  check(answer, {
    'status is 201': (r) => r.status === 201,
    'is created': (r) => r.json('status') === 'created',
  });
}

export function handleSummary(data) {
  return { [__ENV.OUT]: JSON.stringify(data.metrics) };
}
