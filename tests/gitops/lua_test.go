package gitops

import (
	"context"
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// runLua runs a script on an object as Argo CD does: with three libraries, a module os that has no more than the time, and for at most a second. Argo CD's
// own tests open all libraries, so they do not notice a script that fails in production.
func runLua(object map[string]any, script string) (map[string]any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, loadTime)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, errors.New("the script does not return a table")
	}
	result, ok := fromLua(table).(map[string]any)
	if !ok {
		return nil, errors.New("the script does not return an object")
	}
	return result, nil
}

// loadTime loads the module os without what could touch the machine. There is no global os.
func loadTime(state *lua.LState) int {
	lua.OpenOs(state)
	os := state.GetGlobal(lua.OsLibName).(*lua.LTable)
	state.SetGlobal(lua.OsLibName, lua.LNil)
	module := state.NewTable()
	for _, name := range []string{"time", "date"} {
		module.RawSetString(name, os.RawGetString(name))
	}
	state.Push(module)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	panic(fmt.Sprintf("%T is not a type of JSON", value))
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		if whole := int64(value); lua.LNumber(whole) == value {
			return whole
		}
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		if value.Len() > 0 {
			var items []any
			value.ForEach(func(_, item lua.LValue) { items = append(items, fromLua(item)) })
			return items
		}
		object := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { object[key.String()] = fromLua(item) })
		return object
	}
	return nil
}
