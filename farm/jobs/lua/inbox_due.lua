-- Open claims whose time has come, with a right to work on them for a while. Those whose jobs run are only asked about;
-- of the others, which are work, a watcher gets a few: should it die, they wait until its right to them runs out.
local inbox = 'farm:inbox:' .. arg.inbox
local due, work = {}, 0
for _, token in ipairs(redis.call('ZRANGEBYSCORE', inbox .. ':open', '-inf', now, 'LIMIT', 0, arg.most)) do
  local record = redis.call('HGET', inbox .. ':claims', token)
  local runs = cjson.decode(record).stage == 'running'
  if runs or work < arg.few then
    redis.call('ZADD', inbox .. ':open', now + arg.lease_ms, token)
    due[#due + 1] = record
    if not runs then work = work + 1 end
  end
end
return answer(due)
