-- An attempt gives up, in its own words.
if not is_current(arg.job, arg.unit, arg.attempt) or unit_state(arg.job, arg.unit) ~= 'rendering' then
  return answer({recorded = false})
end
end_attempt(arg.job, arg.unit, arg.failure)
return answer({recorded = true})
