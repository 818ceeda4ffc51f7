-- A person ended the process that has this unit in hand. That says nothing of the job, so it does not count.
local slot = get(unit_key(arg.job, arg.unit), 'slot')
if unit_state(arg.job, arg.unit) ~= 'rendering' or slot ~= arg.slot then return answer({recorded = false}) end
end_attempt(arg.job, arg.unit, {
  outcome = 'lost', code = 'terminated', burn = false, message = 'its task was terminated by hand on ' .. arg.slot,
})
return answer({recorded = true})
