-- Asks the network-policy service about each request and lets pass only what it allows.
-- An error in here would let the request through; the guard behind it (RBAC) wants the verdict set at the end.

local function question(headers)
  return {
    [":method"] = "POST", [":path"] = "/check", [":authority"] = "judge",
    ["x-method"] = headers:get(":method") or "", ["x-host"] = headers:get(":authority") or "",
    ["x-path"] = headers:get(":path") or "", ["x-scheme"] = headers:get(":scheme") or "",
    ["x-sandbox"] = headers:get("x-stockade-sandbox") or "", ["x-lease"] = headers:get("x-stockade-lease"),
    ["x-length"] = headers:get("content-length"),
  }
end

local REFUSALS = { ["403"] = true, ["407"] = true, ["429"] = true }

local function refuse(handle, answer, body)
  local status = answer[":status"]
  if not REFUSALS[status] then
    status, body = "503", '{"verdict":"UNAVAILABLE","reason":"the network policy did not answer; try again"}\n'
  end
  handle:respond({
    [":status"] = status, ["content-type"] = "application/json", ["retry-after"] = answer["retry-after"],
    ["x-stockade-decision"] = answer["x-stockade-decision"], ["x-stockade-rule"] = answer["x-stockade-rule"],
  }, body or "")
end

-- Header objects are invalid after httpCall: they are fetched again. Only a tunnel's inside reads the answer from them.
local function pass(handle, answer)
  local headers = handle:headers()
  local host, port = answer["x-stockade-host"], answer["x-stockade-port"]
  if headers:get(":method") == "CONNECT" then
    headers:replace("x-stockade-host", host)
    headers:replace("x-stockade-port", port)
    headers:replace("x-stockade-decision", answer["x-stockade-decision"])
  else
    headers:replace(":authority", port == "80" and host or host .. ":" .. port)
  end
  handle:streamInfo():dynamicMetadata():set("stockade", "verdict", "allow")
end

local OPTIONS = { timeout_ms = JUDGE_MILLISECONDS, send_xff = false }

function envoy_on_request(handle)
  local answer, body = handle:httpCall("judge", question(handle:headers()), nil, OPTIONS)
  if answer["x-stockade-decision"] then
    handle:streamInfo():dynamicMetadata():set("stockade", "decision", answer["x-stockade-decision"])
  end
  if answer[":status"] == "200" then pass(handle, answer) else refuse(handle, answer, body) end
end
