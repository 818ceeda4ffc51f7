-- A slot is stopped on purpose: first it drains, then it leaves the books and what was sent to it waits again.
-- Only its own launcher may say so: a rolling restart has the next one under the same name before this one is gone.
local key = slot_key(arg.slot)
if get(key, 'launcher') ~= arg.launcher then return answer({ok = true}) end
if not arg.gone then
  redis.call('HSET', key, 'state', 'draining')
  return answer({ok = true})
end
take_back_next(arg.slot)
-- It had its time to hand back or deliver, and nobody is to blame.
lose_all(arg.slot, {burn = false, message = arg.slot .. ' was stopped'})
forget_slot(arg.slot)
return answer({ok = true})
