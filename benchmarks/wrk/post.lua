-- The POST of the benchmark: a fresh JSON body for each request, status and one field of the answer looked at.
local headers = { ["Content-Type"] = "application/json" }
local n = 0
bad = 0 -- global: done() reads it from another state
local body = '{"id":"5b2c9c1e-0000-4000-8000-%012x","namespace":"bench","n":%d,"user":"user%05d","sku":"A-1","qty":2}'
threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function request()
  n = n + 1
  return wrk.format("POST", "/orders", headers, string.format(body, n, n, n % 1000))
end

function response(status, _, answer)
  if status ~= 201 or not string.find(answer, '"status":"created"', 1, true) then
    bad = bad + 1
  end
end

function done()
  local total = 0
  for _, thread in ipairs(threads) do
    total = total + (thread:get("bad") or 0)
  end
  print("failed checks: " .. total)
end
