-- Webhooks that are due: some for each of some receivers, which get nothing more until they are settled or the lease
-- has run out. What could not be delivered for too long is given up, what ended long ago is forgotten.
if arg.farm then redis.call('SET', FARM_HOOK, 1) else redis.call('DEL', FARM_HOOK) end

local given_up = redis.call('ZRANGEBYSCORE', HOOKS, '-inf', now - arg.give_up_ms, 'LIMIT', 0, 100)
for _, id in ipairs(given_up) do
  end_hook(id, 'failed', get(hook_key(id), 'problem') or 'it was never sent: no sweeper ran')
end

for _, outcome in ipairs({'delivered', 'failed'}) do
  local ended_key = hooks_ended_key(outcome)
  local old = redis.call('ZRANGEBYSCORE', ended_key, '-inf', now - arg.keep_ms, 'LIMIT', 0, 100)
  local above = math.min(redis.call('ZCARD', ended_key) - arg.most, 100)
  if #old == 0 and above > 0 then old = redis.call('ZRANGE', ended_key, 0, above - 1) end
  for _, id in ipairs(old) do
    redis.call('ZREM', ended_key, id)
    redis.call('DEL', hook_key(id))
  end
end

local bundles, failing = {}, 0
for _, receiver in ipairs(redis.call('ZRANGEBYSCORE', RECEIVERS, '-inf', now, 'LIMIT', 0, 1000)) do
  if #bundles == arg.receivers then break end
  -- one that failed is asked with a single message until it takes one
  local failed = redis.call('HEXISTS', RECEIVER_FAILURES, receiver) == 1
  if failed then failing = failing + 1 end
  if not failed or failing <= arg.failing then
    local deliveries, most = {}, failed and 1 or arg.bundle
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', hook_line_key(receiver), '-inf', now, 'LIMIT', 0, most)) do
      local url, event = get(hook_key(id), 'url', 'event')
      deliveries[#deliveries + 1] = {id = id, url = url, event = event}
    end
    redis.call('HSET', RECEIVER_CLOSED, receiver, now + arg.lease_ms)
    look_at_receiver(receiver)
    bundles[#bundles + 1] = {receiver = receiver, deliveries = deliveries}
  end
end
return answer({bundles = bundles, given_up = #given_up})
