-- A slot that was stopped on purpose leaves the books; what was sent to it waits again.
local key = slot_key(arg.slot)
local sent = get(key, 'next')
if sent then
  local job, chunk = split(sent)
  if unit_state(job, chunk) == 'sent' then move_unit(job, chunk, 'waiting') end
end
if not get(key, 'holds') then
  forget_slot(arg.slot)
end
return answer({ok = true})
