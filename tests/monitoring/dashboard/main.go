// Command dashboard prints the Grafana dashboard in deploy/monitoring. `make dashboard` writes it. With a file of answers of Prometheus as its argument, it
// prints a picture of the dashboard instead.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	print := write
	if len(os.Args) > 1 {
		print = func(to io.Writer) error { return draw(os.Args[1], to) }
	}
	if err := print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(to io.Writer) error {
	built, err := build().Build()
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(built)
}

func build() *dashboard.DashboardBuilder {
	builder := dashboard.NewDashboardBuilder("fic-support-operator").
		Uid("fic-support-operator").
		Description("Premium support contracts of NTT's Flexible InterConnect (FIC), and the operator that buys and abolishes them.").
		Tags([]string{"fic", "kubernetes", "operator"}).
		Refresh("30s").
		Time("now-6h", "now").
		Timezone(common.TimeZoneBrowser).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(variable("namespace", "Namespace", "label_values(fic_operator_build_info, namespace)")).
		WithVariable(variable("job", "Job", `label_values(fic_operator_build_info{namespace="$namespace"}, job)`)).
		Annotation(dashboard.NewAnnotationQueryBuilder().
			Name("Alerts").
			Enable(true).
			IconColor("red").
			Datasource(source()).
			Expr(`ALERTS{alertname=~"FIC.*", alertstate="firing", namespace="$namespace"}`))
	for _, row := range []func(*dashboard.DashboardBuilder){glance, plans, fic, reconciles, kubernetes, pods} {
		row(builder)
	}
	return builder
}

func glance(builder *dashboard.DashboardBuilder) {
	builder.WithRow(dashboard.NewRowBuilder("At a glance")).
		WithPanel(number("Contracts in force", "Plans whose contract is active.", "short",
			sum("", "plans", `reason="Contracted"`))).
		WithPanel(number("Stalled", "Plans for which a person must act.", "short",
			sum("", "plans", `progress="stalled"`)).Thresholds(above(1, "red")).ColorMode(common.BigValueColorModeBackground)).
		WithPanel(number("In progress", "Plans that continue by themselves.", "short",
			sum("", "plans", `progress="reconciling"`))).
		WithPanel(number("Being deleted", "Plans in Terminating. Their contracts are being abolished.", "short",
			sum("", "plans_deleting", ""))).
		WithPanel(number("Leaders", "Replicas that lead. One is right.", "short",
			sum("", "leader", "")).Thresholds(exactly(1)).ColorMode(common.BigValueColorModeBackground)).
		WithPanel(number("Since the last success of FIC", "The time since FIC last answered with success. 0: it has not been asked yet.", "s",
			since("", "fic_last_success_timestamp_seconds", "")).Thresholds(above(900, "red"))).
		WithPanel(number("Version", "The versions that run.", "short",
			"count by (version) ("+metric("build_info", "")+")", "{{version}}").TextMode(common.BigValueTextModeName))
}

func plans(builder *dashboard.DashboardBuilder) {
	builder.WithRow(dashboard.NewRowBuilder("Plans")).
		WithPanel(graph("Plans by reason", "Plans by the reason of their condition Ready.", "short",
			query(sum("reason", "plans", "")+" > 0", "{{reason}}")).
			Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(40)).
		WithPanel(table.NewPanelBuilder().
			Title("Plans that are not Ready").
			Description("For how long, and why. At most as many plans as the flag --metrics-plan-limit allows.").
			Datasource(source()).
			Span(12).Height(8).
			Unit("s").
			NoValue("All plans are Ready.").
			WithTarget(query("time() - max by (plan_namespace, plan, reason, progress) ("+metric("plan_not_ready_since_timestamp_seconds", "")+")", "").
				Instant().Format(prometheus.PromQueryFormatTable)).
			WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
				"excludeByName": map[string]any{"Time": true},
				"indexByName":   map[string]any{"plan_namespace": 0, "plan": 1, "reason": 2, "progress": 3, "Value": 4},
				"renameByName":  map[string]any{"plan_namespace": "Namespace", "plan": "Plan", "reason": "Reason", "progress": "Progress", "Value": "For"},
			}})).
		WithPanel(graph("Changes of contracts", "Contracts that were bought, bought again, adopted, abolished, retained, or found to be lost.", "short",
			query("sum by (change) (increase("+metric("contracts_total", "")+"[$__rate_interval]))", "{{change}}")).
			DrawStyle(common.GraphDrawStyleBars).FillOpacity(100)).
		WithPanel(graph("Oldest operation", "How long the plan that waits longest has not been Ready, or has been in Terminating. 0: none waits.", "s",
			query(since("operation", "operation_oldest_start_timestamp_seconds", ""), "{{operation}}"),
			query(since("", "deletion_oldest_start_timestamp_seconds", ""), "in Terminating")))
}

func fic(builder *dashboard.DashboardBuilder) {
	requests := "fic_requests_total"
	duration := func(quantile string) *prometheus.DataqueryBuilder {
		return query("histogram_quantile("+quantile+", "+rate("le", "fic_request_duration_seconds_bucket", "")+")", "p"+quantile[2:])
	}
	builder.WithRow(dashboard.NewRowBuilder("FIC")).
		WithPanel(graph("Requests by call", "Requests to FIC and Keystone.", "reqps",
			query(rate("call", requests, ""), "{{call}}"))).
		WithPanel(graph("Requests without success by outcome", "Requests that FIC or Keystone did not answer with 2xx. 404 is the answer about a contract that does not exist.", "reqps",
			query(rate("outcome", requests, `outcome!="2xx"`), "{{outcome}}"))).
		WithPanel(graph("Duration of requests", "The duration of half, of 95 % and of 99 % of the requests to FIC and Keystone.", "s",
			duration("0.50"), duration("0.95"), duration("0.99"))).
		WithPanel(heatmap.NewPanelBuilder().
			Title("Durations of requests").
			Description("The number of requests to FIC and Keystone by their duration.").
			Datasource(source()).
			Span(12).Height(8).
			Unit("s").
			WithTarget(query("sum by (le) (increase("+metric("fic_request_duration_seconds_bucket", "")+"[$__rate_interval]))", "{{le}}").
				Format(prometheus.PromQueryFormatHeatmap))).
		WithPanel(graph("Requests in progress", "Requests to FIC and Keystone that are not answered yet.", "short",
			query(sum("", "fic_requests_active", ""), "active"))).
		WithPanel(graph("Wait for the own rate limit", "How long half, and 95 %, of the requests wait because of the flag --fic-requests-per-second.", "s",
			query("histogram_quantile(0.50, "+rate("le", "fic_rate_limit_wait_seconds_bucket", "")+")", "p50"),
			query("histogram_quantile(0.95, "+rate("le", "fic_rate_limit_wait_seconds_bucket", "")+")", "p95"))).
		WithPanel(graph("Requests per second", "Requests to FIC and Keystone, and the limit: the flag --fic-requests-per-second, or less while FIC limits the rate of several tenants. 0: no limit.", "reqps",
			query(rate("", requests, ""), "requests"),
			query("max("+metric("fic_requests_per_second_limit", "")+")", "limit"))).
		WithPanel(graph("Sign-ins by cause", "Sign-ins at Keystone: the first one of a tenant, because a token expires, or because FIC refused one.", "reqps",
			query(rate("cause", "token_requests_total", ""), "{{cause}}")))
}

func reconciles(builder *dashboard.DashboardBuilder) {
	builder.WithRow(dashboard.NewRowBuilder("Reconciles")).
		WithPanel(graph("Reconciles by result", "Reconciles by their result.", "ops",
			query(rate("result", "reconciles_total", ""), "{{result}}"))).
		WithPanel(graph("Duration of reconciles", "The duration of half and of 95 % of the reconciles, with the requests to FIC.", "s",
			query("histogram_quantile(0.50, "+rate("le", "reconcile_duration_seconds_bucket", "")+")", "p50"),
			query("histogram_quantile(0.95, "+rate("le", "reconcile_duration_seconds_bucket", "")+")", "p95"))).
		WithPanel(graph("Reconciles at the same time", "Reconciles in progress, and the maximum that the flag --concurrency allows.", "short",
			query(sum("", "reconciles_active", ""), "active"),
			query("max("+metric("reconcile_concurrency", "")+")", "maximum"))).
		WithPanel(graph("Plans that wait", "Plans that wait until another reconcile ends, and plans that back off because their last reconcile failed.", "short",
			query(sum("", "reconciles_waiting", ""), "waiting"),
			query(sum("", "plans_backing_off", ""), "backing off")))
}

func kubernetes(builder *dashboard.DashboardBuilder) {
	builder.WithRow(dashboard.NewRowBuilder("Kubernetes")).
		WithPanel(graph("Writes by object", "Writes to the API server.", "wps",
			query(rate("object", "kubernetes_writes_total", ""), "{{object}}")).Span(8)).
		WithPanel(graph("Errors", "Watches that ended with an error and were opened again, and Events that could not be written.", "short",
			query("sum(increase("+metric("watch_errors_total", "")+"[$__rate_interval]))", "watches"),
			query("sum(increase("+metric("events_dropped_total", "")+"[$__rate_interval]))", "Events not written")).Span(8)).
		WithPanel(graph("Changes of the leader", "The lead was acquired, lost, or released at shutdown.", "short",
			query("sum by (change) (increase("+metric("lead_changes_total", "")+"[$__rate_interval]))", "{{change}}")).
			Span(8).DrawStyle(common.GraphDrawStyleBars).FillOpacity(100)).
		WithPanel(graph("Requests by code", "Requests to the API server by status code. 409: another client changed the object first, the operator tries again. none: there was no response.", "reqps",
			query(rate("code", "kubernetes_requests_total", ""), "{{code}}"))).
		WithPanel(graph("Duration of requests to the API server", "How long the API server takes until it begins 95 % of its responses.", "s",
			query("histogram_quantile(0.95, "+rate("le, verb", "kubernetes_request_duration_seconds_bucket", "")+")", "{{verb}}")))
}

// The Pods are measured by cAdvisor and kube-state-metrics, not by the operator.
func pods(builder *dashboard.DashboardBuilder) {
	container := `{namespace="$namespace", container="operator"}`
	builder.WithRow(dashboard.NewRowBuilder("Pods (needs cAdvisor and kube-state-metrics)")).
		WithPanel(graph("CPU", "The CPU time of each Pod.", "short",
			query("sum by (pod) (rate(container_cpu_usage_seconds_total"+container+"[$__rate_interval]))", "{{pod}}")).Span(8)).
		WithPanel(graph("Memory", "The memory of each Pod, and its limit.", "bytes",
			query("sum by (pod) (container_memory_working_set_bytes"+container+")", "{{pod}}"),
			query(`max(kube_pod_container_resource_limits{namespace="$namespace", container="operator", resource="memory"})`, "limit")).Span(8)).
		WithPanel(graph("Restarts", "Restarts of each Pod.", "short",
			query("sum by (pod) (kube_pod_container_status_restarts_total"+container+")", "{{pod}}")).Span(8))
}

func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

func variable(name, label, definition string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(source()).
		Query(dashboard.StringOrMap{String: &definition}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
}

// metric selects the series of the operator, with further conditions on its labels.
func metric(name, conditions string) string {
	if conditions != "" {
		conditions = ", " + conditions
	}
	return "fic_operator_" + name + `{namespace="$namespace", job="$job"` + conditions + "}"
}

func by(label string) string {
	if label == "" {
		return ""
	}
	return " by (" + label + ") "
}

func sum(label, name, conditions string) string {
	return "sum" + by(label) + "(" + metric(name, conditions) + ")"
}

func rate(label, name, conditions string) string {
	return "sum" + by(label) + "(rate(" + metric(name, conditions) + "[$__rate_interval]))"
}

// since is the time since a point in time, or 0 if the metric is 0.
func since(label, name, conditions string) string {
	at := "max" + by(label) + "(" + metric(name, conditions) + ")"
	return "(time() - " + at + ") * (" + at + " > bool 0)"
}

func query(expression, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(expression).LegendFormat(legend)
}

func number(title, description, unit, expression string, legend ...string) *stat.PanelBuilder {
	target := query(expression, "").Instant()
	if len(legend) > 0 {
		target.LegendFormat(legend[0])
	}
	return stat.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(map[bool]uint32{true: 6, false: 3}[unit == "s"]).Height(4).
		Unit(unit).
		GraphMode(common.BigValueGraphModeNone).
		Thresholds(above(0, "text")).
		WithTarget(target)
}

func above(value float64, color string) *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Color: "green"}, {Value: &value, Color: color}}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func exactly(value float64) *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Color: "red"}, {Value: &value, Color: "green"}, {Value: cog.ToPtr(value + 1), Color: "red"}}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func graph(title, description, unit string, queries ...*prometheus.DataqueryBuilder) *timeseries.PanelBuilder {
	panel := timeseries.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(12).Height(8).
		Unit(unit).
		Min(0).
		FillOpacity(10)
	for i, query := range queries {
		panel.WithTarget(query.RefId(string(rune('A' + i))))
	}
	return panel
}
