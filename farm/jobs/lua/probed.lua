-- The probe's end: right, wrong, or no answer because storage did not give what it is compared with.
if get(slot_key(arg.slot), 'state') ~= 'probing' then return answer({recorded = false}) end
if arg.verdict == 'right' then
  come_back(arg.slot)
else
  if arg.verdict == 'wrong' then stay_out(arg.slot, arg.why)
  else redis.call('HSET', health_key(arg.slot), 'probe_at', now + FIRST_PROBE_PAUSE_MS) end
  still_out(arg.slot)
end
return answer({recorded = true})
