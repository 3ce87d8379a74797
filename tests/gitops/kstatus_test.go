package gitops

import (
	"testing"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	upstream "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// kstatusOf is what a tool that waits for a plan sees: InProgress, Current, Failed or Terminating.
var kstatusOf = map[string]string{
	"not-reported":                      "InProgress",
	"contracted-of-an-older-generation": "InProgress",
	"contracted":                        "Current",
	"contracted-and-suspended":          "Current",
	"purchasing":                        "InProgress",
	"processing":                        "InProgress",
	"abolishing":                        "Terminating",
	"credentials-missing":               "InProgress",
	"service-unavailable":               "InProgress",
	"rate-limited":                      "InProgress",
	"order-conflict":                    "InProgress",
	"contract-not-found":                "InProgress",
	"not-contracted":                    "InProgress",
	"suspended":                         "InProgress",
	"service-unavailable-for-long":      "InProgress",
	"credentials-invalid":               "Failed",
	"authentication-failed":             "Failed",
	"permission-denied":                 "Failed",
	"already-contracted":                "Failed",
	"contract-lost":                     "Failed",
	"tenant-claimed":                    "Failed",
	"request-rejected":                  "Failed",
	"operation-failed":                  "Failed",
	"operation-timed-out":               "Failed",
	"menu-mismatch":                     "Failed",
	"write-refused":                     "Failed",
	"unexpected-answer":                 "Failed",
}

func TestBothLibrariesOfKstatusAgreeWithTheTable(t *testing.T) {
	plans := examples(t)
	for state, expected := range kstatusOf {
		plan, ok := plans[state]
		if !ok {
			t.Errorf("no example of %s", state)
			continue
		}
		ofUpstream, err := upstream.Compute(&unstructured.Unstructured{Object: plan})
		if err != nil {
			t.Fatal(err)
		}
		ofFlux, err := flux.Compute(&unstructured.Unstructured{Object: plan})
		if err != nil {
			t.Fatal(err)
		}
		if string(ofUpstream.Status) != expected || string(ofFlux.Status) != expected {
			t.Errorf("%s: cli-utils has %s, Flux has %s, expected %s", state, ofUpstream.Status, ofFlux.Status, expected)
		}
	}
	for state := range plans {
		if _, ok := kstatusOf[state]; !ok {
			t.Errorf("the table has no row for %s", state)
		}
	}
}
