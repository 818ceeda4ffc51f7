-- What fell by the way goes back in line: leases that ran out, chunks sent to a slot that never took them,
-- chunks that were told to wait a while, plans that are due. Answers with the outbox entries that are due.
local report = {expired = 0, unsent = 0, broken = 0}
-- After a silence Redis was away, most likely, and nobody could renew: every lease gets its time once more.
local last = tonumber(redis.call('GET', 'farm:swept') or now)
redis.call('SET', 'farm:swept', now)
if now - last > arg.silence_ms then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now + arg.lease_ms)) do
    redis.call('ZADD', LEASES, now + arg.lease_ms, member)
  end
end
-- One entry that cannot be dealt with must not keep the others waiting for ever.
local function each(index, members, act)
  for _, member in ipairs(members) do
    local ok, problem = pcall(act, split(member))
    if not ok then
      redis.call('ZREM', index, member)
      report.broken = report.broken + 1
      redis.log(redis.LOG_WARNING, 'sweep dropped ' .. member .. ': ' .. tostring(problem))
    end
  end
end

each(LEASES, redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, 100), function(job, unit)
  local slot = get(unit_key(job, unit), 'slot')
  lose(job, unit, {
    code = 'lease_expired',
    burn = true,
    message = 'no sign of life from ' .. slot .. ', its lease ran out',
  })
  report.expired = report.expired + 1
end)
each(SENT, redis.call('ZRANGEBYSCORE', SENT, '-inf', now - arg.ring_ms), function(job, chunk)
  local slot = get(unit_key(job, chunk), 'slot')
  local seen = redis.call('ZSCORE', SLOTS, slot)
  local ttl, holds, state = get(slot_key(slot), 'ttl_ms', 'holds', 'state')
  local lost = not seen or seen + ttl <= now
  -- its message still lies there: the slot shows that it lives, but does not listen; claiming anything heals that
  local deaf = redis.call('LLEN', 'slot.' .. slot) > 0
  if deaf and not holds then redis.call('HSET', slot_key(slot), 'deaf', 1) end
  if lost or state ~= 'ready' or not holds then
    move_unit(job, chunk, 'waiting')
    report.unsent = report.unsent + 1
  end
end)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', LATER, '-inf', now)) do
  local job, chunk = split(member)
  redis.call('ZREM', LATER, member)
  redis.call('ZADD', waiting_key(job), chunk, chunk)
  place_in_line(job)
end
for _, slot in ipairs(redis.call('ZRANGEBYSCORE', SLOTS, '-inf', now - arg.forget_ms)) do
  if not get(slot_key(slot), 'holds') then
    forget_slot(slot)
  end
end
-- Each owner's first, of all lines that go on, are let into the queue while so many at most lie there.
local firsts = {}
for _, line in ipairs(redis.call('SMEMBERS', PLANNING)) do
  local batch, owner = string.match(line, '^([^/]*)/(.*)$')
  if (get(batch_key(batch), 'state') or 'open') == 'open' then
    firsts[owner] = firsts[owner] or {}
    local found = redis.call('ZRANGE', plans_key(line), 0, arg.plans - 1, 'WITHSCORES')
    for i = 1, #found, 2 do table.insert(firsts[owner], {job = found[i], place = tonumber(found[i + 1])}) end
  end
end
for _, jobs in pairs(firsts) do
  table.sort(jobs, function(a, b) return a.place < b.place or a.place == b.place and a.job < b.job end)
  for _, first in ipairs(jobs) do
    if has_room(first.job, arg.plans) then let_into_queue(first.job, now) end
  end
end
local due = {}
local queue_is_empty = true
for _, list in ipairs(arg.queue_lists) do
  if redis.call('LLEN', list) > 0 then queue_is_empty = false end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', now, 'LIMIT', 0, 1000)) do
  local unit, job = split(member)
  local kept = kept_waiting(job, unit)
  local waits = unit_state(job, unit) == 'waiting'
  local again = unit == 'plan' and waits and not is_in_queue(job)
  redis.call('ZADD', OUTBOX, now + arg.ring_ms, member)
  if unit == 'plan' and (kept or again) then
    plan_not_due(job)  -- its place is another's
    plan_due(job, again and now)  -- one that failed comes behind those that were not tried yet
  end
  -- while messages wait in the queue, this one's may be among them: ringing for all would only make it longer
  local rung = tonumber(get(unit_key(job, unit), 'rung') or 0)
  local ring = (queue_is_empty or now - rung > arg.doubt_ms) and not storage_is_paused()
  if ring and waits and not kept and not again then
    redis.call('HSET', unit_key(job, unit), 'rung', now)
    due[#due + 1] = {unit = unit, job = job, name = get(job_key(job), 'name'), priority = get(job_key(job), 'priority')}
  end
end
report.due = due
return answer(report)
