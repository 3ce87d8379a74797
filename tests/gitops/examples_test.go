// Package gitops has no code but tests: what Argo CD and Flux show of a plan, in each state that the end-to-end tests reach.
package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

const customization = "../../deploy/gitops/argocd/resource_customizations/fic.ntt.com/PremiumSupportPlan"

// examples returns the plans by the name of their state.
func examples(t *testing.T) map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(customization, "testdata", "*.yaml"))
	if err != nil || len(files) < 23 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	plans := map[string]map[string]any{}
	for _, file := range files {
		plans[strings.TrimSuffix(filepath.Base(file), ".yaml")] = readObject(t, file)
	}
	return plans
}

func readObject(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict([]byte(readText(t, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	object := map[string]any{}
	// Integers stay integers, as for a client of the API server.
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(readText(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
