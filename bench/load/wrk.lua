-- What wrk sends, and how it reports: `wrk ... -s wrk.lua URL -- COUNT [VALUE_BYTES]`
--
-- GETs of COUNT keys, picked at random; they are named for the size of their values, 100 if left
-- out. Every request is made before the load starts: the client
-- shares the machine's cores with the server, so all it does per request is pick one from a table.
--
-- The last line of output is for run.sh, in the words of bench/load.

local thread_count = 0

function setup(thread)
   thread_count = thread_count + 1
   thread:set("seed", thread_count)
end

local random = math.random
local requests, count

function init(args)
   math.randomseed(seed)
   count = tonumber(args[1])
   local value_bytes = tonumber(args[2] or 100)
   requests = {}
   for i = 1, count do
      requests[i] = wrk.format("GET", string.format("/v1/kv/v%d-%08d", value_bytes, i - 1))
   end
end

function request()
   return requests[random(count)]
end

function done(summary, latency)
   local errors = summary.errors
   local form = 'RESULT {"requests": %d, "errors": %d, "seconds": %.3f, "rate": %.1f, ' ..
      '"keys_per_second": %.1f, "bytes_per_answer": %.1f, "server_cpu_us": 0, "p50_us": %d, ' ..
      '"p90_us": %d, "p99_us": %d, "p99_9_us": %d, "max_us": %d}\n'
   local seconds = summary.duration / 1e6
   local rate = summary.requests / seconds
   io.write(string.format(form, summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      seconds, rate, rate, summary.bytes / summary.requests, latency:percentile(50),
      latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
