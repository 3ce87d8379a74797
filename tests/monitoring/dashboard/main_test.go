package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

func TestTheDashboardIsFresh(t *testing.T) {
	committed, err := os.ReadFile("../../../deploy/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var fresh bytes.Buffer
	if err := write(&fresh); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, fresh.Bytes()) {
		t.Error("deploy/monitoring/dashboard.json is not fresh; run make dashboard")
	}
}

// What the linter of Grafana's own mixins asks for.
func TestEachPanelCanBeRead(t *testing.T) {
	dashboard, err := build().Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if panel.Panel == nil {
			continue
		}
		text, err := json.Marshal(panel.Panel)
		if err != nil {
			t.Fatal(err)
		}
		var found struct {
			Title       string
			Description string
			Datasource  struct{ Uid string }
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ Expr string }
		}
		if err := json.Unmarshal(text, &found); err != nil {
			t.Fatal(err)
		}
		if found.Title == "" || found.Description == "" || found.FieldConfig.Defaults.Unit == "" || len(found.Targets) == 0 {
			t.Errorf("a panel needs a title, a description, a unit and a query: %+v", found)
		}
		if found.Datasource.Uid != "${datasource}" {
			t.Errorf("%s has a data source of its own", found.Title)
		}
		for _, target := range found.Targets {
			if !bytes.Contains([]byte(target.Expr), []byte(`namespace="$namespace"`)) {
				t.Errorf("%s: %s", found.Title, target.Expr)
			}
		}
	}
}
