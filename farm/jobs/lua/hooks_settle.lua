-- What became of one delivery. last: of those that its sender took; then the receiver may get more.
local receiver = arg.receiver
local state, tries = get(hook_key(arg.id), 'state', 'tries')
tries = tonumber(tries or 0) + 1
if state then redis.call('HSET', hook_key(arg.id), 'tries', tries) end
if not arg.problem then
  redis.call('HDEL', RECEIVER_FAILURES, receiver)
  if state then end_hook(arg.id, 'delivered') end
elseif arg.final and state == 'pending' then
  end_hook(arg.id, 'failed', arg.problem)
elseif state == 'pending' then
  redis.call('HSET', hook_key(arg.id), 'problem', arg.problem)
  local delay = math.min(arg.delay_ms * 2 ^ (tries - 1), arg.longest_delay_ms)
  redis.call('ZADD', hook_line_key(receiver), now + delay, arg.id)
end
if arg.problem and not arg.final then
  local failures = redis.call('HINCRBY', RECEIVER_FAILURES, receiver, 1)
  local pause = math.min(arg.delay_ms * 2 ^ (failures - 1), arg.longest_pause_ms)
  redis.call('HSET', RECEIVER_CLOSED, receiver, now + pause)
elseif arg.last then
  redis.call('HDEL', RECEIVER_CLOSED, receiver)
end
look_at_receiver(receiver)
return answer({ok = true})
