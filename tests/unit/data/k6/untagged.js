// Made untagged.export.json with k6 1.8.1, as tagged.js says:
//   k6 run --summary-export untagged.export.json untagged.js
// It is over before k6 counts its VUs for the first time.
import http from "k6/http";
import { group } from "k6";

export const options = {
  vus: 2,
  iterations: 10,
  thresholds: {
    http_req_failed: ["rate<0.01"],
    "http_req_duration{url:http://127.0.0.1:18977/u}": ["p(95)<500"],
    "http_req_duration{group:::shop}": ["p(95)<500"],
  },
};

export default function () {
  http.get("http://127.0.0.1:18977/u");
  group("shop", () => http.get("http://127.0.0.1:18977/v"));
}
