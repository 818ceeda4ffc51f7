-- A person ended the process that has this unit in hand. That says nothing of the job, so it does not count; nor does what
-- else was in hand there.
local slot, recorded = get(unit_key(arg.job, arg.unit), 'slot'), false
if unit_state(arg.job, arg.unit) == 'rendering' and slot == arg.slot then
  lose(arg.job, arg.unit, {
    code = 'terminated', burn = false, message = 'its task was terminated by hand on ' .. arg.slot,
  })
  recorded = true
end
-- a rolling restart may have put another process under the slot's name
if get(slot_key(arg.slot), 'launcher') ~= arg.launcher then return answer({recorded = recorded}) end
lose_all(arg.slot, {
  code = 'terminated', burn = false,
  message = 'a task was terminated by hand on ' .. arg.slot .. ', and with it the process that delivered this',
})
return answer({recorded = recorded})
