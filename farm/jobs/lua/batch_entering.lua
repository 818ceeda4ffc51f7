-- Jobs are being entered into a batch, or all are there now; then whoever waits for its end may be told at once.
local key = batch_key(arg.batch)
if redis.call('EXISTS', key) == 0 then return answer({refused = 'no such batch'}) end
if arg.entering then
  redis.call('HSET', key, 'entering', 1)
  if arg.webhook then redis.call('HSET', key, 'webhook', arg.webhook) end
else
  redis.call('HDEL', key, 'entering')
  -- where no job ended since, the last one that does will tell
  if redis.call('HDEL', key, 'untold') == 1 then tell_if_all_ended(arg.batch) end
end
return answer({ok = true})
