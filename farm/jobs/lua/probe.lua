-- A slot that is out begins its probe; the answer says what brought it there.
local key = slot_key(arg.slot)
redis.call('HDEL', key, 'deaf')  -- it listens
local state, cause = get(key, 'state'), get(health_key(arg.slot), 'cause')
-- asked again after a lost answer: it is this call's already
local again = state == 'probing' and get(health_key(arg.slot), 'probe_call') == arg.call
if not cause or (state ~= 'sick' and state ~= 'out' and not again) then
  return answer({refused = 'slot is ' .. (state or 'unknown')})
end
redis.call('HSET', key, 'state', 'probing')
redis.call('HSET', health_key(arg.slot), 'probe_call', arg.call, 'probe_until', now + arg.most_ms)
local renderers = {}
for _, list in ipairs({failed_key(arg.slot), refused_key(arg.slot)}) do
  for _, renderer in ipairs(redis.call('HVALS', list)) do renderers[#renderers + 1] = renderer end
end
return answer({cause = cause, renderers = renderers})
