import http from 'k6/http';
import { check } from 'k6';

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
  const answer = http.get(`${__ENV.URL}/health`);
  check(answer, { 'status is 200': (r) => r.status === 200 });
}

export function handleSummary(data) {
  return { [__ENV.OUT]: JSON.stringify(data.metrics) };
}
