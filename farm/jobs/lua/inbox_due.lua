-- Open claims whose time has come, with a right to work on them for a while. Those whose jobs run are only asked about;
-- of the others, which are work, a watcher gets a few: should it die, they wait until its right to them runs out.
-- Each says how often it was begun in vain: one that was a few times is given out alone, for it may be what kills.
local inbox = 'farm:inbox:' .. arg.inbox
local due, work = {}, 0
for _, token in ipairs(redis.call('ZRANGEBYSCORE', inbox .. ':open', '-inf', now, 'LIMIT', 0, arg.most)) do
  local record = redis.call('HGET', inbox .. ':claims', token)
  local stage = cjson.decode(record).stage
  local runs = stage == 'running'
  local starts = tonumber(redis.call('HGET', inbox .. ':starts', token)) or 0
  local alone = starts >= arg.few_starts
  if runs or (work < arg.few and not (alone and work > 0)) then
    redis.call('ZADD', inbox .. ':open', now + arg.lease_ms, token)
    due[#due + 1] = {record, starts}
    if stage == 'claimed' then redis.call('HINCRBY', inbox .. ':starts', token, 1) end
    if not runs then work = alone and arg.few or work + 1 end
  end
end
return answer(due)
