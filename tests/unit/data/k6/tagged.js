// Made tagged.data.json and tagged.export.json in one run of k6 1.8.1, against a server on which every
// seventh answer is a 500:
//   k6 run --summary-export tagged.export.json tagged.js
// Both files were then written on one line.
import http from "k6/http";
import { check } from "k6";

export const options = {
  scenarios: {
    open: {
      executor: "constant-arrival-rate",
      rate: 20,
      duration: "2s",
      preAllocatedVUs: 5,
    },
  },
  summaryTrendStats: ["avg", "med", "max", "p(90)", "p(95)", "p(99)", "count"],
  thresholds: {
    "http_req_duration{name:read,expected_response:true}": ["p(95)<=150"],
    "http_reqs{name:read}": ["count>0"],
    "http_req_duration{name:list,expected_response:true}": ["max>=0"],
    "http_reqs{name:list}": ["count>0"],
    "http_req_duration{name:never}": ["p(95)<150"],
    checks: ["rate==1"],
  },
};

export default function () {
  for (const name of ["read", "list"]) {
    const url = `http://127.0.0.1:18977/${name}`;
    const answer = http.get(url, { tags: { name } });
    check(answer, { "is 200": (r) => r.status === 200 });
  }
}

export function handleSummary(data) {
  return { "tagged.data.json": JSON.stringify(data) };
}
