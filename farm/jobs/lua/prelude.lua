-- Shared by every script: the clock, keys, and the only places where states change.
-- A script gets one JSON object and answers with one. Redis runs it whole or not at all.
-- Words: a unit is what a lease covers: "plan", "stitch" or a chunk's index.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local arg = cjson.decode(ARGV[1])

local LEASES, SENT, LATER, OUTBOX, SLOTS = 'farm:leases', 'farm:sent', 'farm:later', 'farm:outbox', 'farm:slots'
local IN_HAND = 'farm:inhand'
local LONGEST_DELAY_MS = 300000

local function job_key(job) return 'farm:job:' .. job end
local function unit_key(job, unit) return 'farm:job:' .. job .. ':u:' .. unit end
local function waiting_key(job) return 'farm:job:' .. job .. ':waiting' end
local function version_key(job, version) return 'farm:job:' .. job .. ':v:' .. version end
local function slot_key(slot) return 'farm:slot:' .. slot end
local function pair(job, unit) return job .. '/' .. unit end
local function split(text) return string.match(text, '^([^/]+)/(.+)$') end

local function get(key, ...)
  local values = redis.call('HMGET', key, ...)
  for i = 1, #values do if values[i] == false then values[i] = nil end end
  return unpack(values, 1, select('#', ...))
end

local function answer(value) return cjson.encode(value) end

local function event(job, what, who, detail)
  redis.call('RPUSH', job_key(job) .. ':events',
    cjson.encode({at = now / 1000, what = what, who = who, detail = detail or ''}))
end

local function is_chunk(unit) return unit ~= 'plan' and unit ~= 'stitch' end
-- People count chunks from 1.
local function in_words(unit)
  return is_chunk(unit) and string.format('chunk %d', unit + 1) or unit
end
local function ended(state) return state == 'done' or state == 'failed' or state == 'cancelled' end

-- Jobs with waiting chunks, by renderer, priority and owner; within an owner by age.

local function runnable_key(renderer, priority, owner)
  return 'farm:runnable:' .. renderer .. ':' .. priority .. ':' .. owner
end
local function owners_key(renderer, priority) return 'farm:owners:' .. renderer .. ':' .. priority end

local function place_in_line(job)
  local state, paused, renderer, priority, owner, submitted =
    get(job_key(job), 'state', 'paused', 'renderer', 'priority', 'owner', 'submitted')
  local line, owners = runnable_key(renderer, priority, owner), owners_key(renderer, priority)
  local runs = (state == 'queued' or state == 'rendering') and paused ~= '1'
  if runs and redis.call('EXISTS', waiting_key(job)) == 1 then
    redis.call('ZADD', line, submitted, job)
    redis.call('SADD', owners, owner)
  else
    redis.call('ZREM', line, job)
    if redis.call('EXISTS', line) == 0 then redis.call('SREM', owners, owner) end
  end
end

local function move_job(job, to, who, detail)
  local from = get(job_key(job), 'state')
  if from == to then return end
  if not JOB_MOVES[from][to] then return error('job ' .. job .. ' cannot go from ' .. from .. ' to ' .. to) end
  redis.call('HSET', job_key(job), 'state', to)
  if ended(to) then redis.call('HSET', job_key(job), 'ended', now) end
  event(job, to, who, detail)
  place_in_line(job)
end

local function unit_state(job, unit) return get(unit_key(job, unit), 'state') or 'waiting' end

-- Every change of a unit's state; keeps the indexes (waiting, sent, leases, in hand) in step with it.
local function move_unit(job, unit, to)
  local from = unit_state(job, unit)
  if not UNIT_MOVES[from][to] then
    return error('unit ' .. pair(job, unit) .. ' cannot go from ' .. from .. ' to ' .. to)
  end
  local key = unit_key(job, unit)
  redis.call('HSET', key, 'state', to)
  if from == 'rendering' then redis.call('ZREM', LEASES, pair(job, unit)) end
  if not is_chunk(unit) then return end
  local was, is = from == 'sent' or from == 'rendering', to == 'sent' or to == 'rendering'
  if was ~= is then redis.call('HINCRBY', IN_HAND, get(job_key(job), 'owner'), is and 1 or -1) end
  if from == 'sent' then
    redis.call('ZREM', SENT, pair(job, unit))
    local slot = get(key, 'slot')
    if get(slot_key(slot), 'next') == pair(job, unit) then redis.call('HDEL', slot_key(slot), 'next') end
  elseif from == 'waiting' then
    redis.call('ZREM', waiting_key(job), unit)
    redis.call('ZREM', LATER, pair(job, unit))
  end
  if to == 'sent' then redis.call('ZADD', SENT, now, pair(job, unit)) end
  if to == 'waiting' then redis.call('ZADD', waiting_key(job), unit, unit) end
  if from == 'waiting' or to == 'waiting' then place_in_line(job) end
end

local function free_slot(slot, job, unit)
  if get(slot_key(slot), 'holds') == pair(job, unit) then
    redis.call('HDEL', slot_key(slot), 'holds')
  end
end

local function forget_slot(slot)
  redis.call('DEL', slot_key(slot), 'slot.' .. slot, '_kombu.binding.slot.' .. slot)
  redis.call('ZREM', SLOTS, slot)
end

-- The end of an attempt, in the job's record of attempts.
local function close_attempt(job, unit, outcome, reason)
  local number, slot, started = get(unit_key(job, unit), 'attempt', 'slot', 'started')
  redis.call('RPUSH', job_key(job) .. ':attempts', cjson.encode({
    unit = unit, number = tonumber(number), slot = slot, started = started / 1000, ended = now / 1000,
    outcome = outcome, reason = reason,
  }))
  free_slot(slot, job, unit)
end

-- The job shows this version from now on.
local function make_current(job, version)
  local result, digest, review = get(version_key(job, version), 'result', 'digest', 'review')
  redis.call('HSET', job_key(job), 'current', version, 'result', result, 'digest', digest,
    'needs_review', review == '[]' and 0 or 1)
end

local function is_current(job, unit, attempt)
  local number, suffix = get(unit_key(job, unit), 'attempt', 'suffix')
  return number ~= nil and number .. '-' .. suffix == attempt
end

-- Chunks that were sent but not taken go back in line.
local function take_back(job)
  for i = 0, tonumber(get(job_key(job), 'chunks') or 0) - 1 do
    if unit_state(job, tostring(i)) == 'sent' then move_unit(job, tostring(i), 'waiting') end
  end
end

local function fail_job(job, who, code, message)
  take_back(job)
  redis.call('HSET', job_key(job), 'error_code', code, 'error_message', message)
  redis.call('ZREM', OUTBOX, 'plan/' .. job, 'stitch/' .. job)
  move_job(job, 'failed', who, message)
end

-- An attempt that did not succeed. burn: it counts against max_attempts. permanent: no other can succeed.
local function end_attempt(job, unit, failure)
  close_attempt(job, unit, failure.outcome or 'failed', failure.message)
  local key = unit_key(job, unit)
  local number, slot = get(key, 'attempt', 'slot')
  event(job, 'attempt ' .. (failure.outcome or 'failed'), slot or '',
    'attempt ' .. number .. ' at ' .. in_words(unit) .. ': ' .. failure.message)
  local burnt = tonumber(get(key, 'burnt') or 0)
  if failure.burn then
    burnt = redis.call('HINCRBY', key, 'burnt', 1)
    redis.call('HDEL', key, 'outages')
  end
  redis.call('HSET', key, 'percent', 0)
  local over = failure.permanent or burnt >= tonumber(get(job_key(job), 'max_attempts'))
  if over and not ended(get(job_key(job), 'state')) then
    move_unit(job, unit, 'failed')
    local message = failure.message
    if not failure.permanent then message = in_words(unit) .. ' failed ' .. burnt .. ' times, at last: ' .. message end
    fail_job(job, slot or '', failure.code, message)
    return
  end
  move_unit(job, unit, 'waiting')
  local delay = 0
  if failure.delay_ms and failure.delay_ms > 0 then
    -- the longer an outage lasts, the less often it is tried again
    local outages = redis.call('HINCRBY', key, 'outages', 1)
    delay = math.min(failure.delay_ms * 2 ^ (outages - 1), LONGEST_DELAY_MS)
  end
  redis.call('HDEL', key, 'rung')
  if not is_chunk(unit) then
    if not ended(get(job_key(job), 'state')) then redis.call('ZADD', OUTBOX, now + delay, unit .. '/' .. job) end
  elseif delay > 0 then
    redis.call('ZREM', waiting_key(job), unit)
    redis.call('ZADD', LATER, now + delay, pair(job, unit))
    place_in_line(job)
  end
end

-- Whether this attempt may finish its unit: 'yes', 'done' (it did already) or 'no'. One whose job has ended meanwhile
-- is closed here.
local function may_finish(job, unit, attempt)
  if not is_current(job, unit, attempt) then return 'no' end
  local state, of_job = unit_state(job, unit), get(job_key(job), 'state')
  if state == 'done' then return 'done' end
  if state ~= 'rendering' then return 'no' end
  if not ended(of_job) then return 'yes' end
  end_attempt(job, unit, {outcome = of_job, message = 'job is ' .. of_job, burn = false})
  return 'no'
end
