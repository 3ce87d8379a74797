package gitops

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the files that are generated from others")

// The format of these files is that of Argo CD's own repository.
type healthTests struct {
	Tests []healthTest `json:"tests"`
}

type healthTest struct {
	InputPath    string `json:"inputPath"`
	HealthStatus health `json:"healthStatus"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string `json:"inputPath"`
		Result    []struct {
			Name     string `json:"name"`
			Disabled bool   `json:"disabled"`
		} `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

func script(t *testing.T, name string) string {
	t.Helper()
	return readText(t, filepath.Join(customization, name))
}

// healthOf is the health that belongs to a state of kstatus. A suspended plan has a state of its own in Argo CD.
func healthOf(state string) string {
	if strings.HasSuffix(state, "suspended") {
		return "Suspended"
	}
	return map[string]string{
		"InProgress": "Progressing",
		"Current":    "Healthy",
		"Failed":     "Degraded",
		// Argo CD does not ask the script about an object that is being deleted.
		"Terminating": "Progressing",
	}[kstatusOf[state]]
}

func runHealth(t *testing.T, plan map[string]any) health {
	t.Helper()
	result, err := runLua(plan, script(t, "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	return health{result["status"].(string), result["message"].(string)}
}

func TestTheHealthOfEachState(t *testing.T) {
	for state, plan := range examples(t) {
		found := runHealth(t, plan)
		if found.Status != healthOf(state) {
			t.Errorf("%s: %v, expected %s", state, found, healthOf(state))
		}
		if found.Status == "Degraded" || found.Status == "Healthy" {
			ready := readyOf(plan)
			if expected := ready["reason"].(string) + ": " + ready["message"].(string); found.Message != expected {
				t.Errorf("%s: %s, expected %s", state, found.Message, expected)
			}
		}
	}
}

func readyOf(plan map[string]any) map[string]any {
	for _, condition := range plan["status"].(map[string]any)["conditions"].([]any) {
		if condition := condition.(map[string]any); condition["type"] == "Ready" {
			return condition
		}
	}
	return nil
}

// Argo CD's own test of the customization, so that it can be contributed as it is.
func TestHealthTestYAML(t *testing.T) {
	file := filepath.Join(customization, "health_test.yaml")
	plans := examples(t)
	var tests healthTests
	if *update {
		for _, state := range slices.Sorted(maps.Keys(plans)) {
			tests.Tests = append(tests.Tests, healthTest{"testdata/" + state + ".yaml", runHealth(t, plans[state])})
		}
		write(t, file, tests)
	}
	read(t, file, &tests)
	if len(tests.Tests) != len(plans) {
		t.Fatalf("%d tests for %d examples; run go test -update", len(tests.Tests), len(plans))
	}
	for _, test := range tests.Tests {
		plan := readObject(t, filepath.Join(customization, test.InputPath))
		if found := runHealth(t, plan); found != test.HealthStatus {
			t.Errorf("%s: %v", test.InputPath, found)
		}
	}
}

func TestActions(t *testing.T) {
	var tests actionTests
	read(t, filepath.Join(customization, "action_test.yaml"), &tests)
	for _, test := range tests.DiscoveryTests {
		found, err := runLua(readObject(t, filepath.Join(customization, test.InputPath)), script(t, "actions/discovery.lua"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != len(test.Result) {
			t.Errorf("%s: %v", test.InputPath, found)
		}
		for _, action := range test.Result {
			if !reflect.DeepEqual(found[action.Name], map[string]any{"disabled": action.Disabled}) {
				t.Errorf("%s: %s is %v", test.InputPath, action.Name, found[action.Name])
			}
		}
	}
	if len(tests.ActionTests) != 3 {
		t.Fatalf("%d tests", len(tests.ActionTests))
	}
	for _, test := range tests.ActionTests {
		before := readObject(t, filepath.Join(customization, test.InputPath))
		after, err := runLua(before, script(t, "actions/"+test.Action+"/action.lua"))
		if err != nil {
			t.Fatal(err)
		}
		if test.Action == "reconcile" {
			fixTime(t, after)
		}
		expected := readObject(t, filepath.Join(customization, test.ExpectedOutputPath))
		if !reflect.DeepEqual(after, expected) {
			t.Errorf("%s: %v, expected %v", test.Action, after, expected)
		}
	}
}

// fixTime requires that the annotation is the current time, and replaces it by the time in the expected output.
func fixTime(t *testing.T, plan map[string]any) {
	t.Helper()
	const annotation = "fic.ntt.com/reconcile-requested-at"
	annotations := plan["metadata"].(map[string]any)["annotations"].(map[string]any)
	at, err := time.Parse(time.RFC3339, annotations[annotation].(string))
	if err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("%v: %v", annotations, err)
	}
	annotations[annotation] = "2026-01-01T00:00:00Z"
}

// A plan that was never reconciled has no annotations.
func TestReconcileCreatesTheAnnotations(t *testing.T) {
	plan, err := runLua(examples(t)["not-reported"], script(t, "actions/reconcile/action.lua"))
	if err != nil {
		t.Fatal(err)
	}
	fixTime(t, plan)
}

// The ConfigMap of Argo CD has the same scripts.
func TestTheConfigMapIsFresh(t *testing.T) {
	type definition struct {
		Name   string `json:"name"`
		Action string `json:"action.lua"`
	}
	actions := struct {
		Discovery   string       `json:"discovery.lua"`
		Definitions []definition `json:"definitions"`
	}{Discovery: script(t, "actions/discovery.lua")}
	for _, name := range []string{"reconcile", "resume", "suspend"} {
		actions.Definitions = append(actions.Definitions, definition{name, script(t, "actions/"+name+"/action.lua")})
	}
	text, err := yaml.Marshal(actions)
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":      "argocd-cm",
			"namespace": "argocd",
			"labels":    map[string]any{"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"},
		},
		"data": map[string]any{
			"resource.customizations.health.fic.ntt.com_PremiumSupportPlan":  script(t, "health.lua"),
			"resource.customizations.actions.fic.ntt.com_PremiumSupportPlan": string(text),
		},
	}
	file := "../../deploy/gitops/argocd/argocd-cm.yaml"
	if *update {
		write(t, file, expected)
	}
	if found := readObject(t, file); !reflect.DeepEqual(found, expected) {
		t.Errorf("%s is not fresh; run go test -update", file)
	}
}

func write(t *testing.T, file string, content any) {
	t.Helper()
	text, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
