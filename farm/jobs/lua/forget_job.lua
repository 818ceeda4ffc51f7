-- A job that ended long ago is forgotten, with all that the books say of it; then its files are removed.
local key = job_key(arg.job)
local state, at, chunks, versions, token, batch, review, taken, edit_of =
  get(key, 'state', 'ended', 'chunks', 'versions', 'token', 'batch', 'needs_review', 'taken', 'edit_of')
if not state or not ended(state) or tonumber(at) > arg.before then return answer({ok = false}) end
local units = {'plan', 'stitch'}
for i = 0, tonumber(chunks or 0) - 1 do units[#units + 1] = tostring(i) end
for _, unit in ipairs(units) do
  if unit_state(arg.job, unit) == 'rendering' then return answer({ok = false}) end  -- somebody has still to let it go
end

for _, unit in ipairs(units) do
  redis.call('DEL', unit_key(arg.job, unit))
  redis.call('ZREM', LATER, pair(arg.job, unit))
end
for _, version in ipairs(cjson.decode(versions or '[]')) do redis.call('DEL', version_key(arg.job, version)) end
if batch then
  redis.call('ZREM', batch_key(batch) .. ':jobs', arg.job)
  count(arg.job, state, -1)
  if review == '1' then count(arg.job, 'needs_review', -1) end
  if tonumber(taken or 0) > 0 then count(arg.job, 'taken', -taken) end  -- Redis 6 takes -0 for no number
end
if redis.call('GET', 'farm:token:' .. token) == arg.job then redis.call('DEL', 'farm:token:' .. token) end
redis.call('ZREM', OUTBOX, 'plan/' .. arg.job, 'stitch/' .. arg.job)
redis.call('ZREM', 'farm:jobs', arg.job)
forgive(arg.job)
if edit_of then redis.call('SREM', edits_key(edit_of), arg.job) end
redis.call('DEL', key, edits_key(arg.job), key .. ':events', key .. ':attempts', waiting_key(arg.job))
return answer({ok = true})
