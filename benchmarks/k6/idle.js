import http from 'k6/http';
import { check, sleep } from 'k6';

const vus = Number(__ENV.VUS);

export const options = {
  insecureSkipTLSVerify: true,
  scenarios: {
    main: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: `${__ENV.RAMP}s`, target: vus },
        { duration: `${__ENV.SECONDS}s`, target: vus },
      ],
      gracefulStop: '5s',
    },
  },
};

export default function () {
  const answer = http.get(`${__ENV.URL}/health`);
  check(answer, { 'status is 200': (r) => r.status === 200 });
  sleep(1);
}

export function handleSummary(data) {
  return { [__ENV.OUT]: JSON.stringify(data.metrics) };
}
