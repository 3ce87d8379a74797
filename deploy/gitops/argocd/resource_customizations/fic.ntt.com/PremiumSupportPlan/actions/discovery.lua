-- A plan that is suspended is not reconciled.
local suspended = obj.spec.suspend == true

return {
  ["reconcile"] = { ["disabled"] = suspended },
  ["suspend"] = { ["disabled"] = suspended },
  ["resume"] = { ["disabled"] = not suspended },
}
