package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

type manifest struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Path      string `json:"path"`
		Prune     bool   `json:"prune"`
		Wait      bool   `json:"wait"`
		SourceRef struct {
			Name string `json:"name"`
		} `json:"sourceRef"`
		DependsOn []struct {
			Name string `json:"name"`
		} `json:"dependsOn"`
		Source struct {
			RepoURL string `json:"repoURL"`
			Path    string `json:"path"`
		} `json:"source"`
	} `json:"spec"`
}

func manifests(t *testing.T, file string) []manifest {
	t.Helper()
	var all []manifest
	for _, document := range strings.Split(readText(t, file), "\n---\n") {
		var one manifest
		if err := yaml.Unmarshal([]byte(document), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func assertFolder(t *testing.T, path string) {
	t.Helper()
	if folder, err := os.Stat(filepath.Join("../..", path)); err != nil || !folder.IsDir() {
		t.Errorf("%s: %v", path, err)
	}
}

func TestTheKustomizationsOfFlux(t *testing.T) {
	before := map[string]bool{}
	for _, one := range manifests(t, "../../deploy/gitops/flux/kustomizations.yaml") {
		if one.Kind != "Kustomization" {
			continue
		}
		if one.Spec.SourceRef.Name == "fic-support-operator" {
			assertFolder(t, one.Spec.Path)
		}
		if one.Spec.Prune && strings.Contains(one.Metadata.Name, "crd") {
			t.Errorf("%s prunes the CRD", one.Metadata.Name)
		}
		if !one.Spec.Wait {
			t.Errorf("%s does not wait", one.Metadata.Name)
		}
		for _, dependency := range one.Spec.DependsOn {
			if !before[dependency.Name] {
				t.Errorf("%s depends on %s, which does not exist", one.Metadata.Name, dependency.Name)
			}
		}
		before[one.Metadata.Name] = true
	}
	if len(before) != 4 {
		t.Error(before)
	}
}

func TestTheApplicationsOfArgoCD(t *testing.T) {
	all := manifests(t, "../../deploy/gitops/argocd/applications.yaml")
	if len(all) != 2 {
		t.Fatal(len(all))
	}
	assertFolder(t, all[0].Spec.Source.Path)
}
