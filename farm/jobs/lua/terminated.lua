-- A person ended the process that has this unit in hand. That says nothing of the job, so it does not count.
local slot = get(unit_key(arg.job, arg.unit), 'slot')
if unit_state(arg.job, arg.unit) ~= 'rendering' or slot ~= arg.slot then return answer({recorded = false}) end
local failure = {
  outcome = 'lost', code = 'terminated', burn = false, message = 'its task was terminated by hand on ' .. arg.slot,
}
end_attempt(arg.job, arg.unit, failure)
failure.message = 'a task was terminated by hand on ' .. arg.slot .. ', and with it the process that delivered this'
lose_all(arg.slot, failure)
return answer({recorded = true})
