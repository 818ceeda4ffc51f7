-- Shared by every script: the clock, keys, and the only places where states change.
-- A script gets one JSON object and answers with one. Redis runs it whole or not at all.
-- Words: a unit is what a lease covers: "plan", "stitch" or a chunk's index.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local arg = cjson.decode(ARGV[1])

local LEASES, SENT, LATER, OUTBOX, SLOTS = 'farm:leases', 'farm:sent', 'farm:later', 'farm:outbox', 'farm:slots'
local DEPTH, PLANNING, POLICY, PACE = 'farm:depth', 'farm:planning', 'farm:policy', 'farm:pace'
local FREE = 'farm:free'  -- slots that have no chunk waiting, whatever else they are
local LONGEST_DELAY_MS = 300000
-- The time a chunk takes is the mean of about so many.
local PACE_OF = 20

local function job_key(job) return 'farm:job:' .. job end
local function unit_key(job, unit) return 'farm:job:' .. job .. ':u:' .. unit end
local function waiting_key(job) return 'farm:job:' .. job .. ':waiting' end
local function edits_key(job) return 'farm:job:' .. job .. ':edits' end  -- jobs that keep its cuts
local function version_key(job, version) return 'farm:job:' .. job .. ':v:' .. version end
local function slot_key(slot) return 'farm:slot:' .. slot end
local function owner_key(owner) return 'farm:owner:' .. owner end
local function batch_key(batch) return 'farm:batch:' .. batch end
local function states_key(batch) return batch_key(batch) .. ':states' end
local function plans_key(line) return 'farm:plans:' .. line end
local function in_queue_key(owner) return 'farm:planning:' .. owner end  -- let into the queue, not begun; by priority
local function pair(job, unit) return job .. '/' .. unit end
local function split(text) return string.match(text, '^([^/]+)/(.+)$') end

local function get(key, ...)
  local values = redis.call('HMGET', key, ...)
  for i = 1, #values do if values[i] == false then values[i] = nil end end
  return unpack(values, 1, select('#', ...))
end

local function answer(value) return cjson.encode(value) end
local tell_job, tell_batch  -- webhooks.lua

local function event(job, what, who, detail)
  redis.call('RPUSH', job_key(job) .. ':events', cjson.encode({now / 1000, what, who, detail or ''}))
end

-- What happened how often since the books began, for dashboards: nobody has to read jobs for that.
local function tally(...) redis.call('HINCRBY', 'farm:tally', table.concat({...}, '/'), 1) end

local function is_chunk(unit) return unit ~= 'plan' and unit ~= 'stitch' end
-- People count chunks from 1.
local function in_words(unit)
  return is_chunk(unit) and string.format('chunk %d', unit + 1) or unit
end
local function ended(state) return state == 'done' or state == 'failed' or state == 'cancelled' end

-- Owners: the slot time they used, fading with its age, and what they have in hand.

local function faded(used, at, half_life) return used and used * 2 ^ ((at - now) / (half_life or HALF_LIFE_MS)) or 0 end

local function began(owner)
  redis.call('HINCRBY', owner_key(owner), 'rendering', 1)
  redis.call('HINCRBY', owner_key(owner), 'began', now)
end

-- What an attempt at a chunk took is its owner's to bear, whatever came of it.
local function charge(owner, started)
  redis.call('HINCRBY', owner_key(owner), 'rendering', -1)
  redis.call('HINCRBY', owner_key(owner), 'began', -started)
  local used, at = get(owner_key(owner), 'used', 'at')
  local sum = faded(used, at, get(POLICY, 'half_life_ms')) + now - started
  redis.call('HSET', owner_key(owner), 'used', string.format('%.3f', sum), 'at', now)
end

-- Batches: their jobs counted by state, and beside it those that are held, those that need review, chunks taken.

local function count(job, what, by)
  local batch = get(job_key(job), 'batch')
  if batch then redis.call('HINCRBY', states_key(batch), what, by) end
end

-- Why a unit must not begin though it could, nil when nothing keeps it. A batch that was stopped keeps what has not
-- begun: a job whose chunks are all rendered is stitched.
local function kept_waiting(job, unit)
  local paused, held, batch = get(job_key(job), 'paused', 'held', 'batch')
  if paused == '1' then return 'job is paused' end
  if held == '1' then return 'job is held' end
  local state = batch and get(batch_key(batch), 'state')
  if state and state ~= 'open' and not (state == 'stopped' and unit == 'stitch') then return 'batch is ' .. state end
end

-- A line: the waiting jobs that are alike in all that dispatch asks of them; within it by age. DEPTH counts its chunks.

local function owners_key(renderer, priority) return 'farm:owners:' .. renderer .. ':' .. priority end
local function lines_key(renderer, priority, owner) return 'farm:lines:' .. renderer .. ':' .. priority .. ':' .. owner end
local function line_name(renderer, priority, alike, owner)
  return renderer .. ':' .. priority .. ':' .. alike .. ':' .. owner
end
local function line_key(name) return 'farm:line:' .. name end

-- A job stands in line with so many chunks.
local function stand_in_line(job, chunks)
  local key = job_key(job)
  local stood = tonumber(get(key, 'stood') or 0)
  if stood == chunks then return end
  local renderer, priority, owner, pixels, batch, submitted =
    get(key, 'renderer', 'priority', 'owner', 'pixels', 'batch', 'submitted')
  local alike = (pixels or 0) .. ':' .. (batch or '')
  local name = line_name(renderer, priority, alike, owner)
  local lines = lines_key(renderer, priority, owner)
  redis.call('HSET', key, 'stood', chunks)
  if redis.call('HINCRBY', DEPTH, name, chunks - stood) == 0 then redis.call('HDEL', DEPTH, name) end
  if stood == 0 then
    redis.call('ZADD', line_key(name), submitted, job)
    redis.call('SADD', lines, alike)
    redis.call('SADD', owners_key(renderer, priority), owner)
  elseif chunks == 0 then
    redis.call('ZREM', line_key(name), job)
    if redis.call('EXISTS', line_key(name)) == 0 then redis.call('SREM', lines, alike) end
    if redis.call('EXISTS', lines) == 0 then redis.call('SREM', owners_key(renderer, priority), owner) end
  end
end

-- A paused or stopped batch keeps its place: dispatch passes its lines over.
local function place_in_line(job)
  local state, paused, held = get(job_key(job), 'state', 'paused', 'held')
  local runs = (state == 'queued' or state == 'rendering') and paused ~= '1' and held ~= '1'
  stand_in_line(job, runs and redis.call('ZCARD', waiting_key(job)) or 0)
end

local function unit_state(job, unit) return get(unit_key(job, unit), 'state') or 'waiting' end

-- A line of plans: an owner's jobs that wait to be planned, of one batch or of none, by priority and then by age. The
-- cpu queue is first come, first served: a few of each owner are let into it, so that nobody's thousands lie before
-- another's one.

local function plan_line(job)
  local batch, owner = get(job_key(job), 'batch', 'owner')
  return (batch or '') .. '/' .. (owner or ''), owner or ''
end

local function leave_plan_line(job)
  local line = plan_line(job)
  redis.call('ZREM', plans_key(line), job)
  if redis.call('EXISTS', plans_key(line)) == 0 then redis.call('SREM', PLANNING, line) end
end

local function is_in_queue(job)
  local _, owner = plan_line(job)
  return redis.call('ZSCORE', in_queue_key(owner), job) ~= false
end

-- It stands in line as if it had been submitted at `since`.
local function plan_due(job, since)
  local held, paused, priority, submitted = get(job_key(job), 'held', 'paused', 'priority', 'submitted')
  if not submitted or held == '1' or paused == '1' then return end
  if unit_state(job, 'plan') ~= 'waiting' or is_in_queue(job) then return end
  local line = plan_line(job)
  redis.call('ZADD', plans_key(line), string.format('%.0f', priority * 2 ^ 42 + (since or submitted)), job)
  redis.call('SADD', PLANNING, line)
end

-- Whether one more of this priority may be let in: those that are less urgent keep nobody out.
local function has_room(job, plans)
  local _, owner = plan_line(job)
  return redis.call('ZCOUNT', in_queue_key(owner), '-inf', get(job_key(job), 'priority')) < plans
end

local function let_into_queue(job, at)
  local _, owner = plan_line(job)
  leave_plan_line(job)
  redis.call('ZADD', in_queue_key(owner), get(job_key(job), 'priority'), job)
  redis.call('ZADD', OUTBOX, at, 'plan/' .. job)
end

-- It leaves its place to another.
local function plan_begun(job)
  local _, owner = plan_line(job)
  leave_plan_line(job)
  redis.call('ZREM', in_queue_key(owner), job)
end

-- The plan is made, or not to be made now.
local function plan_not_due(job)
  plan_begun(job)
  redis.call('ZREM', OUTBOX, 'plan/' .. job)
  redis.call('HDEL', unit_key(job, 'plan'), 'rung')
end

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
  if was ~= is then redis.call('HINCRBY', owner_key(get(job_key(job), 'owner')), 'in_hand', is and 1 or -1) end
  if from == 'sent' then
    redis.call('ZREM', SENT, pair(job, unit))
    local slot = get(key, 'slot')
    if get(slot_key(slot), 'next') == pair(job, unit) then
      redis.call('HDEL', slot_key(slot), 'next')
      redis.call('SADD', FREE, slot)
    end
  elseif from == 'waiting' then
    redis.call('ZREM', waiting_key(job), unit)
    redis.call('ZREM', LATER, pair(job, unit))
  end
  if to == 'sent' then redis.call('ZADD', SENT, now, pair(job, unit)) end
  if to == 'waiting' then redis.call('ZADD', waiting_key(job), unit, unit) end
  if from == 'waiting' or to == 'waiting' then place_in_line(job) end
end

-- Chunks that were sent but not taken go back in line: a job's, or all that `which` names.
local function take_back_all(which)
  for _, member in ipairs(redis.call('ZRANGE', SENT, 0, -1)) do
    local job, unit = split(member)
    if which(job) then move_unit(job, unit, 'waiting') end
  end
end
local function take_back(job) take_back_all(function(other) return other == job end) end
local function take_back_batch(batch)
  take_back_all(function(job) return get(job_key(job), 'batch') == batch end)
end
-- Also one of a slot that will not come to it.
local function take_back_next(slot)
  local sent = get(slot_key(slot), 'next')
  if not sent then return end
  local job, chunk = split(sent)
  if unit_state(job, chunk) == 'sent' then move_unit(job, chunk, 'waiting') end
end

-- A failure that was forgiven and is tried again is not forgiven once more.
local function forgive_at_most(batch, failed)
  if tonumber(get(batch_key(batch), 'forgiven') or 0) > failed then
    redis.call('HSET', batch_key(batch), 'forgiven', failed)
  end
end

-- A batch with more failed jobs than it may have is stopped. Failures that were there when it was resumed are forgiven.
local function judge_batch(batch)
  local key = batch_key(batch)
  local state, most, rows, forgiven = get(key, 'state', 'max_failures', 'rows', 'forgiven')
  if state ~= 'open' or not most or most == '' then return end
  local failed = tonumber(get(states_key(batch), 'failed') or 0) - tonumber(forgiven or 0)
  local of = math.max(tonumber(rows or 0), redis.call('ZCARD', key .. ':jobs'))
  local share = string.match(most, '^(.+)%%$')
  if failed <= (share and share * of / 100 or tonumber(most)) then return end
  redis.call('HSET', key, 'state', 'stopped', 'reason', 
    failed .. ' of ' .. of .. ' jobs failed, ' .. most .. ' may fail')
  take_back_batch(batch)
  tell_batch(batch, 'stopped')
end

-- Nobody is told so while its jobs are still being entered, but that a job ended then is noted for when all are there:
-- whoever was entering them may have died meanwhile.
local function tell_if_all_ended(batch)
  if get(batch_key(batch), 'entering') then
    redis.call('HSET', batch_key(batch), 'untold', 1)
    return
  end
  for _, going_on in ipairs({'planning', 'queued', 'rendering', 'stitching'}) do
    if tonumber(get(states_key(batch), going_on) or 0) > 0 then return end
  end
  tell_batch(batch, 'done')
end

local function move_job(job, to, who, detail)
  local from = get(job_key(job), 'state')
  if from == to then return end
  if not JOB_MOVES[from][to] then return error('job ' .. job .. ' cannot go from ' .. from .. ' to ' .. to) end
  redis.call('HSET', job_key(job), 'state', to)
  if ended(to) then redis.call('HSET', job_key(job), 'ended', now) end
  tally('job', to)
  event(job, to, who, detail)
  place_in_line(job)
  if from == 'planning' then plan_not_due(job) end
  local batch, held, review = get(job_key(job), 'batch', 'held', 'needs_review')
  if ended(to) and held == '1' then
    redis.call('HSET', job_key(job), 'held', 0)
    count(job, 'held', -1)
  end
  if ended(to) then tell_job(job, to) end
  if to == 'done' and review == '1' then tell_job(job, 'needs_review') end
  if not batch then return end
  local left = redis.call('HINCRBY', states_key(batch), from, -1)
  redis.call('HINCRBY', states_key(batch), to, 1)
  if from == 'failed' then forgive_at_most(batch, left) end
  if to == 'failed' then judge_batch(batch) end
  if ended(to) then tell_if_all_ended(batch) end
end

-- What a slot has in hand: `holds` is the chunk that it draws, or drew last; `delivers` the one before, only while another
-- is held.

local function take(slot, job, unit)
  local holds = get(slot_key(slot), 'holds')
  if holds then
    redis.call('HSET', slot_key(slot), 'delivers', holds)
    redis.call('HSET', unit_key(split(holds)), 'drawn', 1)  -- else the slot would not ask for another
  end
  redis.call('HSET', slot_key(slot), 'holds', pair(job, unit))
end

local function free_slot(slot, job, unit)
  local key = slot_key(slot)
  local holds, delivers = get(key, 'holds', 'delivers')
  if delivers == pair(job, unit) then redis.call('HDEL', key, 'delivers')
  elseif holds == pair(job, unit) then
    redis.call('HDEL', key, 'holds', 'delivers')
    if delivers then redis.call('HSET', key, 'holds', delivers) end  -- it waits for that delivery
  end
end

local function forget_slot(slot)
  redis.call('DEL', slot_key(slot), 'slot.' .. slot, '_kombu.binding.slot.' .. slot)
  redis.call('ZREM', SLOTS, slot)
  redis.call('SREM', FREE, slot)
end

local blame, praise, storage_worked  -- what an attempt says of its slot and of storage: blame.lua
local note_work, note_failure  -- for those who watch: lately.lua

-- The end of an attempt, in the job's record of attempts.
local function close_attempt(job, unit, outcome, reason, taken_from)
  local number, slot, started = get(unit_key(job, unit), 'attempt', 'slot', 'started')
  redis.call('RPUSH', job_key(job) .. ':attempts', cjson.encode({
    unit, tonumber(number), slot, started / 1000, now / 1000, outcome, reason or '', taken_from or '',
  }))
  tally('attempt', is_chunk(unit) and 'chunk' or unit, outcome)
  free_slot(slot, job, unit)
  redis.call('HDEL', unit_key(job, unit), 'drawn')
  if outcome == 'done' then praise(unit, slot) end
  if outcome == 'taken' then storage_worked(slot) end
  if not is_chunk(unit) then return end
  charge(get(job_key(job), 'owner'), started)
  note_work(job, slot, started, outcome)
  if outcome ~= 'done' then return end
  local pace = tonumber(redis.call('GET', PACE) or now - started)
  redis.call('SET', PACE, string.format('%.0f', pace + (now - started - pace) / PACE_OF))
end

-- The job shows this version from now on.
local function make_current(job, version)
  local result, digest, review = get(version_key(job, version), 'result', 'digest', 'review')
  local shown = get(job_key(job), 'needs_review') == '1'
  if shown ~= (review ~= '[]') then count(job, 'needs_review', shown and -1 or 1) end
  redis.call('HSET', job_key(job), 'current', version, 'result', result, 'digest', digest,
    'needs_review', review == '[]' and 0 or 1)
end

local function is_current(job, unit, attempt)
  local number, suffix = get(unit_key(job, unit), 'attempt', 'suffix')
  return number ~= nil and number .. '-' .. suffix == attempt
end

local function fail_job(job, who, code, message)
  take_back(job)
  redis.call('HSET', job_key(job), 'error_code', code, 'error_message', message)
  redis.call('ZREM', OUTBOX, 'stitch/' .. job)
  tally('job failure', code)
  move_job(job, 'failed', who, message)
end

-- An attempt that did not succeed. burn: it counts against max_attempts. permanent: no other can succeed.
local function end_attempt(job, unit, failure)
  close_attempt(job, unit, failure.outcome or 'failed', failure.message)
  local key = unit_key(job, unit)
  local number, slot = get(key, 'attempt', 'slot')
  event(job, 'attempt ' .. (failure.outcome or 'failed'), slot or '',
    'attempt ' .. number .. ' at ' .. in_words(unit) .. ': ' .. failure.message)
  -- one that was stopped on purpose has its outcome for a code, or none
  local of_itself = failure.code and failure.code ~= failure.outcome
  if of_itself then tally('failure', failure.code) end
  local burnt = tonumber(get(key, 'burnt') or 0)
  if failure.burn then
    burnt = redis.call('HINCRBY', key, 'burnt', 1)
    redis.call('HDEL', key, 'outages')
  end
  redis.call('HSET', key, 'percent', 0)
  blame(job, unit, slot, failure)
  local over = failure.permanent or burnt >= tonumber(get(job_key(job), 'max_attempts'))
  over = over and not ended(get(job_key(job), 'state'))
  if of_itself then note_failure(job, unit, slot, failure.message, over) end
  if over then
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

-- A death that one chunk in hand caused must not count for the one that was drawn well. In case its delivery was the
-- cause, the slot that draws it next delivers it before it comes to another: then it bears the blame itself.
local function lose(job, unit, failure)
  local number, suffix, drawn = get(unit_key(job, unit), 'attempt', 'suffix', 'drawn')
  local spared = failure.burn and drawn == '1'
  if spared then redis.call('HSET', unit_key(job, unit), 'alone', 1)
  elseif failure.burn then redis.call('HSET', unit_key(job, unit), 'missed', number .. '-' .. suffix) end
  end_attempt(job, unit, {
    outcome = 'lost', code = failure.code, message = failure.message, burn = failure.burn and not spared,
  })
end

-- What the slot had in hand is lost.
local function lose_all(slot, failure)
  local key = slot_key(slot)
  local holds, delivers = get(key, 'holds', 'delivers')
  for _, in_hand in ipairs({holds, delivers}) do
    local job, unit = split(in_hand)
    if unit_state(job, unit) == 'rendering' and get(unit_key(job, unit), 'slot') == slot then
      lose(job, unit, failure)
    end
  end
  redis.call('HDEL', key, 'holds', 'delivers')
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
