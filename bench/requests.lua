-- What wrk sends, and how it reports: `wrk ... -s requests.lua URL METHOD PATH_FORMAT COUNT BYTES`
--
-- Requests for COUNT keys, picked at random; PATH_FORMAT gets the key's number. A PUT carries BYTES
-- random printable bytes. Every request is made before the load starts: the client shares the
-- machine's cores with the server, so all it does per request is pick one from a table. A path
-- without a number in it makes all requests the same.
--
-- The last line of output is for run.sh:
--   RESULT requests microseconds p99_microseconds bytes_received errors

local thread_count = 0

function setup(thread)
   thread_count = thread_count + 1
   thread:set("seed", thread_count)
end

local TEXT_BYTES = 65536
local random = math.random
local requests, count

local function random_text(bytes)
   local text = {}
   for i = 1, bytes do
      text[i] = string.char(random(48, 111))
   end
   return table.concat(text)
end

function init(args)
   local method, path_format = args[1], args[2]
   local bytes = tonumber(args[4])
   math.randomseed(seed)
   count = tonumber(args[3])
   requests = {}
   -- a window into this text is a body: a hundred thousand texts of their own take seconds to make
   local text = method == "PUT" and random_text(TEXT_BYTES + bytes)
   for i = 1, count do
      local at = random(TEXT_BYTES)
      local body = text and text:sub(at, at + bytes - 1) or nil
      requests[i] = wrk.format(method, path_format:format(i - 1), nil, body)
   end
end

function request()
   return requests[random(count)]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
      latency:percentile(99), summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
