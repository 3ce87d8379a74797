-- The operator sends no requests for the plan and changes nothing.
obj.spec.suspend = true
return obj
