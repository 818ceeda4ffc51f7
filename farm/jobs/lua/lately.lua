-- What slots did lately and what failed last, for those who watch: sums that fade with their age, and a short list.

local LATELY, FAILURES, FAILURES_KEPT = 'farm:lately', 'farm:failures', 20

-- Milliseconds since `from`, those that are over counting less the older they are.
local function lasted(from) return LATELY_MS / math.log(2) * (1 - 2 ^ ((from - now) / LATELY_MS)) end

local function add(key, at, sums)
  local before = get(key, at)
  for name, more in pairs(sums) do
    local sum = faded(get(key, name), before or now, LATELY_MS) + more
    redis.call('HSET', key, name, string.format('%.3f', sum))
  end
  redis.call('HSET', key, at, now)
end

-- A chunk's attempt has ended. What a chunk has of its job's video is told by the mean of the job's chunks.
function note_work(job, slot, started, outcome)
  if redis.call('EXISTS', slot_key(slot)) == 1 then add(slot_key(slot), 'busy_at', {busy = lasted(started)}) end
  if outcome ~= 'done' then return end
  local frames25, chunks = get(job_key(job), 'frames25', 'chunks')
  add(LATELY, 'at', {chunks = 1, work_ms = now - started, frames25 = frames25 / chunks})
  redis.call('HSETNX', LATELY, 'since', started)
end

-- over: the job failed by it.
function note_failure(job, unit, slot, message, over)
  redis.call('LPUSH', FAILURES, cjson.encode({now / 1000, job, unit, slot or '', message, over}))
  redis.call('LTRIM', FAILURES, 0, FAILURES_KEPT - 1)
end
