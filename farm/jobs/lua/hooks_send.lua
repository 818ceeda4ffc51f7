-- Somebody wants a webhook sent now, ended or not; it gets all its time anew.
local state, receiver = get(hook_key(arg.id), 'state', 'receiver')
if not state then return answer({refused = 'no such webhook'}) end
if state ~= 'pending' then
  redis.call('ZREM', hooks_ended_key(state), arg.id)
  redis.call('HSET', hook_key(arg.id), 'state', 'pending', 'tries', 0)
  redis.call('HDEL', hook_key(arg.id), 'ended', 'problem')
end
redis.call('ZADD', HOOKS, now, arg.id)
redis.call('ZADD', hook_line_key(receiver), now, arg.id)
redis.call('HDEL', RECEIVER_CLOSED, receiver)
look_at_receiver(receiver)
return answer({ok = true})
