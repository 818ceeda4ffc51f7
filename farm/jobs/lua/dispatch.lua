-- Picks (chunk, slot) pairs: by priority, then the owner with least in hand, then the oldest job, then the first chunk.
-- A slot has at most one message waiting. Idle slots choose first; with nothing left in the books an idle slot takes
-- what waits at a busy or a lost one.

local function alive(slot)
  local seen = redis.call('ZSCORE', SLOTS, slot)
  return seen and seen + tonumber(get(slot_key(slot), 'ttl_ms')) > now
end

local function renderers_of(slot) return cjson.decode(get(slot_key(slot), 'renderers')) end

local function fits(slot, job)
  local most, pixels = get(slot_key(slot), 'most_pixels'), get(job_key(job), 'pixels')
  return not most or tonumber(pixels or 0) <= tonumber(most)
end

-- The owner's oldest job that fits; of many too large for this slot only the first hundred are passed over.
local function oldest_that_fits(line, slot)
  local jobs = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if #jobs > 0 and fits(slot, jobs[1]) then return jobs[1], tonumber(jobs[2]) end
  jobs = redis.call('ZRANGE', line, 1, 100, 'WITHSCORES')
  for i = 1, #jobs, 2 do if fits(slot, jobs[i]) then return jobs[i], tonumber(jobs[i + 1]) end end
end

local function fairest_job(slot, renderers, priority)
  local best, best_share, best_age
  for _, renderer in ipairs(renderers) do
    for _, owner in ipairs(redis.call('SMEMBERS', owners_key(renderer, priority))) do
      local job, age = oldest_that_fits(runnable_key(renderer, priority, owner), slot)
      local share = tonumber(redis.call('HGET', IN_HAND, owner) or 0)
      if job and (not best or share < best_share or (share == best_share and age < best_age)) then
        best, best_share, best_age = job, share, age
      end
    end
  end
  return best
end

local function pick(slot)
  local renderers = renderers_of(slot)
  for priority = 0, 9 do
    local job = fairest_job(slot, renderers, priority)
    if job then return job, redis.call('ZRANGE', waiting_key(job), 0, 0)[1] end
  end
end

local function offers(slot, job)
  if not fits(slot, job) then return false end
  local wanted = get(job_key(job), 'renderer')
  for _, renderer in ipairs(renderers_of(slot)) do if renderer == wanted then return true end end
  return false
end

local function steal(idle)
  for _, member in ipairs(redis.call('ZRANGE', SENT, 0, -1)) do
    local job, chunk = split(member)
    local holder = get(unit_key(job, chunk), 'slot')
    local holder_waits = alive(holder) and not get(slot_key(holder), 'holds')
    if not holder_waits and offers(idle, job) then
      move_unit(job, chunk, 'waiting')
      return job, chunk
    end
  end
end

local messages = {}

local function send(slot, job, chunk)
  redis.call('HSET', unit_key(job, chunk), 'slot', slot)
  move_unit(job, chunk, 'sent')
  redis.call('HSET', slot_key(slot), 'next', pair(job, chunk))
  local name, chunks = get(job_key(job), 'name', 'chunks')
  messages[#messages + 1] = {
    slot = slot, job = job, chunk = tonumber(chunk), title = name .. ', chunk ' .. (chunk + 1) .. ' of ' .. chunks,
  }
end

local idle, busy = {}, {}
for _, slot in ipairs(redis.call('ZRANGE', SLOTS, 0, -1)) do
  local state, holds, next, deaf = get(slot_key(slot), 'state', 'holds', 'next', 'deaf')
  if state == 'ready' and not next and not deaf and alive(slot) then table.insert(holds and busy or idle, slot) end
end
for _, slots in ipairs({idle, busy}) do
  for _, slot in ipairs(slots) do
    if #messages == arg.at_once then break end
    local job, chunk = pick(slot)
    if not job and slots == idle then job, chunk = steal(slot) end
    if job then send(slot, job, chunk) end
  end
end
if #messages == 0 then return '[]' end
return answer(messages)
