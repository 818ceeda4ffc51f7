-- What people decide about a batch: pause, resume, cancel, limit.
local key = batch_key(arg.batch)
local state = get(key, 'state')
if not state then return answer({refused = 'no such batch'}) end
if arg.what == 'limit' then
  if arg.value then redis.call('HSET', key, 'limit', arg.value) else redis.call('HDEL', key, 'limit') end
elseif arg.what == 'resume' then
  -- what failed until now does not stop it again
  redis.call('HSET', key, 'state', 'open', 'reason', '', 'forgiven', get(states_key(arg.batch), 'failed') or 0)
else
  local to = ({pause = 'paused', cancel = 'cancelled'})[arg.what]
  if state ~= to then redis.call('HSET', key, 'state', to, 'reason', to .. ' by ' .. arg.who) end
  take_back_batch(arg.batch)
end
return answer({ok = true})
