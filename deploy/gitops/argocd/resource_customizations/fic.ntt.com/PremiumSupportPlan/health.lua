-- The health of a plan, as kstatus calculates it: Stalled and Reconciling are present only while they are True, and conditions that describe an
-- older generation do not count.
local status = obj.status or {}

local function condition(type)
  for _, candidate in ipairs(status.conditions or {}) do
    if candidate.type == type and candidate.status == "True" then
      return candidate
    end
  end
end

local function health(name, cause)
  return { status = name, message = cause.reason .. ": " .. cause.message }
end

if obj.spec.suspend then
  return { status = "Suspended", message = "The plan is suspended. To continue, set suspend to false." }
end
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not reported on this generation yet." }
end
if condition("Stalled") then
  return health("Degraded", condition("Stalled"))
end
if condition("Reconciling") then
  return health("Progressing", condition("Reconciling"))
end
if condition("Ready") then
  return health("Healthy", condition("Ready"))
end
return { status = "Progressing", message = "The operator has not reported yet." }
