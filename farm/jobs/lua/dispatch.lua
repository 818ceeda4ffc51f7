-- Picks (chunk, slot) pairs: by priority, then the owner who used least slot time for his weight, then the oldest job,
-- then the first chunk. A slot has at most one message waiting. Idle slots choose first; with nothing left in the books
-- an idle slot takes what waits at a busy or a lost one.
if redis.call('EXISTS', DEPTH) == 0 and redis.call('EXISTS', SENT) == 0 then return '[]' end
if storage_is_paused() then return '[]' end

local weights, limits, half_life = get(POLICY, 'weights', 'limits', 'half_life_ms')
weights, limits = cjson.decode(weights or '{}'), cjson.decode(limits or '{}')
-- What a chunk in hand will take is not used yet, but stands for it: slots that come free together are shared too.
local pace = tonumber(redis.call('GET', PACE) or 1)

local known = {}
local function look_at(name)
  if not known[name] then
    local seen = redis.call('ZSCORE', SLOTS, name)
    local state, holds, waits, deaf, ttl, renderers, most =
      get(slot_key(name), 'state', 'holds', 'next', 'deaf', 'ttl_ms', 'renderers', 'most_pixels')
    local alive = seen and state and seen + ttl > now
    known[name] = {
      name = name, holds = holds, next = waits, alive = alive, renderers = renderers, most_pixels = tonumber(most),
      takes_one = alive and state == 'ready' and not waits and not deaf,
    }
  end
  return known[name]
end

local idle, busy = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', FREE)) do
  local slot = look_at(name)
  if slot.takes_one then table.insert(slot.holds and busy or idle, slot) end
end
if #idle == 0 and #busy == 0 then return '[]' end

local decoded = {}
local function renderers_of(slot)
  decoded[slot.renderers] = decoded[slot.renderers] or cjson.decode(slot.renderers)
  return decoded[slot.renderers]
end

local function by_name(a, b) return a.name < b.name end
table.sort(idle, by_name)
table.sort(busy, by_name)

-- Limits count slots: what waits behind a chunk of the same owner or batch takes no other slot.

local whose = {}
local function both_of(member)
  if not member then return nil, nil end
  if not whose[member] then
    local owner, batch = get(job_key((split(member))), 'owner', 'batch')
    whose[member] = {owner = owner, batch = batch}
  end
  return whose[member].owner, whose[member].batch
end

local used_slots  -- of owners and batches, counted when the first limit asks
local function count_slots()
  used_slots = {owner = {}, batch = {}}
  local function add(kind, one, other)
    local number = used_slots[kind]
    if one then number[one] = (number[one] or 0) + 1 end
    if other and other ~= one then number[other] = (number[other] or 0) + 1 end
  end
  for _, name in ipairs(redis.call('ZRANGE', SLOTS, 0, -1)) do
    local slot = look_at(name)
    local owner, batch = both_of(slot.holds)
    local next_owner, next_batch = both_of(slot.next)
    add('owner', owner, next_owner)
    add('batch', batch, next_batch)
  end
end

local function renders_for(slot, kind, name)
  local owner, batch = both_of(slot.holds)
  if kind == 'batch' then owner = batch end
  return owner == name
end

-- from: the slot that the chunk would be taken from.
local function within(limit, kind, name, slot, from)
  if not limit or renders_for(slot, kind, name) then return true end
  if not used_slots then count_slots() end
  local given_back = from and not renders_for(from, kind, name) and 1 or 0
  return (used_slots[kind][name] or 0) - given_back < tonumber(limit)
end

local function owner_may(owner, slot, from) return within(limits[owner] or limits['*'], 'owner', owner, slot, from) end

local batches = {}
local function batch_may(batch, slot, from)
  if batch == '' then return true end
  if not batches[batch] then
    local state, limit = get(batch_key(batch), 'state', 'limit')
    batches[batch] = {open = (state or 'open') == 'open', limit = limit}
  end
  return batches[batch].open and within(batches[batch].limit, 'batch', batch, slot, from)
end

local function fits(slot, pixels) return not slot.most_pixels or tonumber(pixels or 0) <= slot.most_pixels end
local function kept_off(slot, job) return redis.call('SISMEMBER', off_key(job), slot.name) == 1 end

-- Slot time used lately, and what is in hand, for the owner's weight.
local shares = {}
local function share_of(owner)
  if not shares[owner] then
    local used, at, in_hand, rendering, since = get(owner_key(owner), 'used', 'at', 'in_hand', 'rendering', 'began')
    local so_far = (rendering or 0) * now - (since or 0)
    shares[owner] = (faded(used, at, half_life) + so_far + (in_hand or 0) * pace) / (weights[owner] or 1)
  end
  return shares[owner]
end

-- The first of a line that the slot is not kept off; of many only the first hundred are passed over.
local function first_in(line, slot)
  local jobs = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if #jobs == 0 or not kept_off(slot, jobs[1]) then return jobs[1], tonumber(jobs[2]) end
  jobs = redis.call('ZRANGE', line, 1, 100, 'WITHSCORES')
  for i = 1, #jobs, 2 do if not kept_off(slot, jobs[i]) then return jobs[i], tonumber(jobs[i + 1]) end end
end

local function before(age, job, other_age, other) return age < other_age or (age == other_age and job < other) end

local function oldest_job(owner, slot, priority)
  local best, best_age
  for _, renderer in ipairs(renderers_of(slot)) do
    for _, alike in ipairs(redis.call('SMEMBERS', lines_key(renderer, priority, owner))) do
      local pixels, batch = string.match(alike, '^([^:]*):(.*)$')
      if fits(slot, pixels) and batch_may(batch, slot) then
        local job, age = first_in(line_key(line_name(renderer, priority, alike, owner)), slot)
        if job and (not best or before(age, job, best_age, best)) then best, best_age = job, age end
      end
    end
  end
  return best, best_age
end

local in_line = {}
local function owners_of(slot, priority)
  local owners = {}
  for _, renderer in ipairs(renderers_of(slot)) do
    local line = owners_key(renderer, priority)
    in_line[line] = in_line[line] or redis.call('SMEMBERS', line)
    for _, owner in ipairs(in_line[line]) do owners[owner] = true end
  end
  return owners
end

-- The owners with the least share, taken out of `owners`.
local function take_least(owners)
  local least, share = {}, nil
  for owner in pairs(owners) do
    local of_owner = share_of(owner)
    if not share or of_owner < share then least, share = {}, of_owner end
    if of_owner == share then least[#least + 1] = owner end
  end
  for _, owner in ipairs(least) do owners[owner] = nil end
  return least
end

local function pick(slot)
  for priority = 0, 9 do
    local owners = owners_of(slot, priority)
    while next(owners) do
      local best, best_age
      for _, owner in ipairs(take_least(owners)) do
        local job, age
        if owner_may(owner, slot) then job, age = oldest_job(owner, slot, priority) end
        if job and (not best or before(age, job, best_age, best)) then best, best_age = job, age end
      end
      if best then return best, redis.call('ZRANGE', waiting_key(best), 0, 0)[1] end
    end
  end
end

local function offers(slot, renderer)
  for _, offered in ipairs(renderers_of(slot)) do if offered == renderer then return true end end
  return false
end

local stealable
local function what_waits_elsewhere()
  local found = {}
  for _, member in ipairs(redis.call('ZRANGE', SENT, 0, -1)) do
    local job, chunk = split(member)
    local holder = look_at(get(unit_key(job, chunk), 'slot'))
    if not holder.alive or holder.holds then
      local renderer, pixels, owner, batch = get(job_key(job), 'renderer', 'pixels', 'owner', 'batch')
      found[#found + 1] = {
        job = job, chunk = chunk, holder = holder, renderer = renderer, pixels = pixels, owner = owner,
        batch = batch or '',
      }
    end
  end
  return found
end

local function steal(slot)
  stealable = stealable or what_waits_elsewhere()
  for i, sent in ipairs(stealable) do
    if offers(slot, sent.renderer) and fits(slot, sent.pixels) and not kept_off(slot, sent.job)
      and owner_may(sent.owner, slot, sent.holder) and batch_may(sent.batch, slot, sent.holder) then
      table.remove(stealable, i)
      move_unit(sent.job, sent.chunk, 'waiting')
      sent.holder.next = nil
      used_slots = nil
      return sent.job, sent.chunk
    end
  end
end

local messages = {}

local function send(slot, job, chunk)
  redis.call('HSET', unit_key(job, chunk), 'slot', slot.name)
  move_unit(job, chunk, 'sent')
  redis.call('HSET', slot_key(slot.name), 'next', pair(job, chunk))
  redis.call('SREM', FREE, slot.name)
  slot.next = pair(job, chunk)
  used_slots = nil
  local name, chunks, owner = get(job_key(job), 'name', 'chunks', 'owner')
  shares[owner] = nil
  messages[#messages + 1] = {
    slot = slot.name, job = job, chunk = tonumber(chunk), title = name .. ', chunk ' .. (chunk + 1) .. ' of ' .. chunks,
  }
end

for _, free in ipairs({idle, busy}) do
  for _, slot in ipairs(free) do
    if #messages == arg.at_once then break end
    local job, chunk = pick(slot)
    if not job and free == idle then job, chunk = steal(slot) end
    if job then send(slot, job, chunk) end
  end
end
if #messages == 0 then return '[]' end
return answer(messages)
