-- What attempts say of the slots they ran on, and of storage. Behind the prelude in every script.
-- farm:slot:<name>:health is there while a slot is out, and outlasts its process and its row in the books.

-- Two of a job's attempts lost on one slot are no accident, and of the usual three one is left for another slot.
local OFF_AFTER = 2
-- One owner may send the same mistake twice; two who know nothing of each other hardly do. A slot that is suspected
-- wrongly loses the seconds of a probe, one that is not suspected goes on costing attempts.
local SICK_OWNERS = 2
-- A driver that resets itself takes seconds, a person takes minutes.
local FIRST_PROBE_PAUSE_MS, LONGEST_PROBE_PAUSE_MS = 5000, 600000
-- What a machine lacks disk for may be gone with the attempt that failed.
local DISK_PAUSE_MS = 10000
-- Large weights from a slow disk take minutes.
local LONGEST_LOAD_MS = 600000
-- A slot that did not come back for so long is another machine under an old name.
local FORGET_HEALTH_MS = 7 * 86400000
-- One failure may be a cut connection; each took five tries already.
local STORAGE_PAUSE_AFTER = 3

local STORAGE_PAUSED, STORAGE_FAILING = 'farm:storage:paused', 'farm:storage:failing'
local STORAGE_WORKED = 'farm:storage:worked'  -- when it did last, for anybody
local KEPT_OFF = 'farm:keptoff'  -- jobs that some slot is kept off

local function off_key(job) return 'farm:job:' .. job .. ':off' end
local function blame_key(job) return 'farm:job:' .. job .. ':blame' end
local function health_key(slot) return 'farm:slot:' .. slot .. ':health' end
-- Since the last success: owner -> renderer of the chunk that failed, or that a stitch refused, here.
local function failed_key(slot) return 'farm:slot:' .. slot .. ':failed' end
local function refused_key(slot) return 'farm:slot:' .. slot .. ':refused' end

local function storage_is_paused() return redis.call('EXISTS', STORAGE_PAUSED) == 1 end

-- Lives, or will in a moment, and renders what the job wants. One that dies each time it loads never will.
local function could_render(slot, job)
  local seen = redis.call('ZSCORE', SLOTS, slot)
  local state, ttl, renderers, most, since =
    get(slot_key(slot), 'state', 'ttl_ms', 'renderers', 'most_pixels', 'loading_since')
  local loads = state == 'loading' and now - (since or now) < LONGEST_LOAD_MS
  if not seen or seen + ttl <= now or (state ~= 'ready' and not loads) then return false end
  local wanted, pixels = get(job_key(job), 'renderer', 'pixels')
  if most and tonumber(pixels or 0) > tonumber(most) then return false end
  for _, renderer in ipairs(cjson.decode(renderers)) do if renderer == wanted then return true end end
  return false
end

-- Where no slot is left that could take a job, none is kept off it: its attempts decide.
local function let_back(job)
  for _, slot in ipairs(redis.call('ZRANGE', SLOTS, 0, -1)) do
    if redis.call('SISMEMBER', off_key(job), slot) == 0 and could_render(slot, job) then return end
  end
  redis.call('DEL', off_key(job))
  redis.call('SREM', KEPT_OFF, job)
  event(job, 'slots let back', '', 'no other slot could render it')
end

local function keep_off(job, slot)
  if redis.call('SADD', off_key(job), slot) == 0 then return end
  redis.call('SADD', KEPT_OFF, job)
  event(job, 'slot kept off', slot, get(blame_key(job), slot) .. ' attempts at this job failed there')
  let_back(job)
end

-- A slot gets no more work; cause: 'failures', 'storage' that it does not reach, or 'disk' for its whole machine.
local function take_out(slot, cause, why, pause)
  local key = slot_key(slot)
  redis.call('HSET', health_key(slot), 'cause', cause, 'since', now, 'why', why, 'probes', 0, 'probe_at', now + pause)
  redis.call('PEXPIRE', health_key(slot), FORGET_HEALTH_MS)
  redis.call('HSET', key, 'why_out', why)
  if get(key, 'state') == 'ready' then redis.call('HSET', key, 'state', cause == 'failures' and 'sick' or 'out') end
  take_back_next(slot)
end

-- The probe came out wrong: the next one later, and ever later.
local function stay_out(slot, why)
  local health = health_key(slot)
  local probes = redis.call('HINCRBY', health, 'probes', 1)
  local pause = math.min(FIRST_PROBE_PAUSE_MS * 2 ^ (probes - 1), LONGEST_PROBE_PAUSE_MS)
  redis.call('HSET', health, 'why', why, 'probe_at', now + pause)
  redis.call('PEXPIRE', health, FORGET_HEALTH_MS)
  redis.call('HSET', slot_key(slot), 'why_out', why)
end

-- Under a new process, and in emptied books, a slot that is out is out; only the probe brings it back.
local function still_out(slot)
  local why, probes, cause = get(health_key(slot), 'why', 'probes', 'cause')
  if not why then return end
  local out = cause ~= 'failures' or tonumber(probes) > 0
  redis.call('HSET', slot_key(slot), 'state', out and 'out' or 'sick', 'why_out', why)
end

local function come_back(slot)
  redis.call('DEL', health_key(slot), failed_key(slot), refused_key(slot))
  redis.call('HDEL', slot_key(slot), 'why_out', 'cut_off', 'cut_off_since')
  redis.call('HSET', slot_key(slot), 'state', 'ready')
end

-- Another owner's chunk came out wrong here.
local function suspect(list, slot, job, why)
  local owner, renderer = get(job_key(job), 'owner', 'renderer')
  redis.call('HSET', list, owner, renderer)
  redis.call('PEXPIRE', list, FORGET_HEALTH_MS)
  local owners = redis.call('HLEN', list)
  if owners < SICK_OWNERS or redis.call('EXISTS', health_key(slot)) == 1 then return end
  take_out(slot, 'failures', 'failed for ' .. owners .. ' owners in a row, at last: ' .. why, 0)
  event(job, 'slot is sick', slot, 'it gets no work until it has rendered a known-good probe right')
end

local function machine_is_full(slot, why)
  local host = get(slot_key(slot), 'host')
  for _, other in ipairs(redis.call('ZRANGE', SLOTS, 0, -1)) do
    if get(slot_key(other), 'host') == host and redis.call('EXISTS', health_key(other)) == 0 then
      take_out(other, 'disk', 'the disk of ' .. host .. ': ' .. why, DISK_PAUSE_MS)
    end
  end
end

-- A slot failed at storage again and again, and meanwhile it worked for others: the fault is its machine's, which would
-- take every chunk that waits, for it is always free.
local function is_cut_off(slot, why)
  local key = slot_key(slot)
  redis.call('HSETNX', key, 'cut_off_since', now)
  local times, worked = redis.call('HINCRBY', key, 'cut_off', 1), tonumber(redis.call('GET', STORAGE_WORKED) or 0)
  if times < STORAGE_PAUSE_AFTER or worked <= tonumber(get(key, 'cut_off_since')) then return end
  if redis.call('EXISTS', health_key(slot)) == 1 then return end
  take_out(slot, 'storage', 'storage fails from here, and meanwhile worked elsewhere: ' .. why, FIRST_PROBE_PAUSE_MS)
end

local function storage_failed(why)
  if storage_is_paused() or redis.call('INCR', STORAGE_FAILING) < STORAGE_PAUSE_AFTER then return end
  redis.call('HSET', STORAGE_PAUSED, 'reason', why, 'since', now, 'until', now, 'checks', 0)
end

-- An attempt that failed. One that no slot could have rendered, or that nobody is to blame for, says nothing.
function blame(job, unit, slot, failure)
  if failure.cause == 'storage' then storage_failed(failure.message) end
  if not slot or not is_chunk(unit) or redis.call('EXISTS', slot_key(slot)) == 0 then return end
  if failure.cause == 'disk' then machine_is_full(slot, failure.message) end
  if failure.cause == 'storage' then is_cut_off(slot, failure.message) end
  if not failure.burn or failure.permanent then return end
  if redis.call('HINCRBY', blame_key(job), slot, 1) >= OFF_AFTER then keep_off(job, slot) end
  suspect(failed_key(slot), slot, job, failure.message)
end

-- What a slot wrote, storage took.
function storage_worked(slot)
  redis.call('SET', STORAGE_WORKED, now)
  redis.call('HDEL', slot_key(slot), 'cut_off', 'cut_off_since')
end

-- An attempt that succeeded.
function praise(unit, slot)
  redis.call('DEL', STORAGE_FAILING)
  storage_worked(slot)
  if is_chunk(unit) then redis.call('DEL', failed_key(slot)) end
end

-- The slot that rendered a finished chunk, if it is in the books: not one that only took its segment from another job.
local function renderer_of(job, unit)
  local slot, taken = get(unit_key(job, unit), 'slot', 'taken')
  if slot and not taken and redis.call('EXISTS', slot_key(slot)) == 1 then return slot end
end

-- A stitch refused a chunk that was rendered here. That the slot could render it says nothing against that: only an
-- accepted video does.
local function doubt(job, unit, why)
  local slot = renderer_of(job, unit)
  if slot then suspect(refused_key(slot), slot, job, why) end
end

-- A video with a chunk rendered here was accepted: the slot may say what the probe looks like.
local function prove(job, unit)
  local slot = renderer_of(job, unit)
  if not slot then return end
  redis.call('DEL', refused_key(slot))
  -- of what another process rendered here, this one may have other weights
  local same = get(unit_key(job, unit), 'process') == get(slot_key(slot), 'process')
  if same and redis.call('EXISTS', health_key(slot)) == 0 then redis.call('HSET', slot_key(slot), 'proven', 1) end
end

-- Why a slot must not begin a unit, nil where it may.
local function out_of_work(job, slot)
  if storage_is_paused() then return 'storage is paused' end
  local state = get(slot_key(slot), 'state')
  if state == 'sick' or state == 'out' or state == 'probing' then return 'slot is ' .. state end
  if redis.call('SISMEMBER', off_key(job), slot) == 1 then return 'slot is kept off the job' end
end

-- A job's slots are judged anew.
local function forgive(job)
  redis.call('DEL', off_key(job), blame_key(job))
  redis.call('SREM', KEPT_OFF, job)
end
