-- Sends deliveries that were signed before, each with an id of its own.
local requests = {}
local next = 0

function init()
  local file = io.open("body")
  local body = file:read("*a")
  file:close()
  for line in io.lines("values") do
    local id, timestamp, signature = line:match("(%S+) (%S+) (%S+)")
    requests[#requests + 1] = wrk.format("POST", nil, {
      ["content-type"] = "application/json",
      ["webhook-id"] = id,
      ["webhook-timestamp"] = timestamp,
      ["webhook-signature"] = signature,
    }, body)
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end
